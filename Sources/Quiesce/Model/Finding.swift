// SPDX-License-Identifier: Apache-2.0

/// One thing preflight saw, with what it means for a snapshot and how to mend it.
public struct Finding: Sendable, Hashable {
    public enum Weight: Sendable, Hashable {
        /// No run is made; the status says which kind of refusal.
        case refuses(ExitStatus)
        /// A run is made, but can reach at most this level.
        case limits(Consistency)
        /// Worth knowing.
        case note
        /// Looked at and found well.
        case fine
    }

    public var weight: Weight
    /// A stable word for scripts: `agent.notConnected`, `chain.deep`.
    public var code: String
    public var text: String
    /// Lines that mend it, to be pasted as they are where they are commands.
    public var fix: [String]

    public init(_ weight: Weight, _ code: String, _ text: String, fix: [String] = []) {
        self.weight = weight
        self.code = code
        self.text = text
        self.fix = fix
    }
}

extension Finding {
    /// What a command ends with that meets this finding, every line that mends it included; nil when it may go on.
    public var failure: Failure? {
        guard case .refuses(let status) = weight else { return nil }
        return Failure(status, text, hint: fix.isEmpty ? nil : fix.joined(separator: "\n"))
    }
}

extension [Finding] {
    /// The first finding that forbids a run; where QEMU and libvirt disagree, that one, whatever else there is.
    public var refusal: Finding? {
        let refusing = filter { if case .refuses = $0.weight { true } else { false } }
        return refusing.first { $0.weight == .refuses(.quarantined) } ?? refusing.first
    }

    /// The best level that the findings leave open.
    public var ceiling: Consistency {
        reduce(.application) { level, finding in
            switch finding.weight {
            case .refuses: .none
            case .limits(let limit): Swift.min(level, limit)
            case .note, .fine: level
            }
        }
    }
}
