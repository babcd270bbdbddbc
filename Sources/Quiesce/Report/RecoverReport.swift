// SPDX-License-Identifier: Apache-2.0

/// What `recover` found and did.
public struct RecoverReport: Codable, Sendable {
    /// What was done, a line each.
    public enum Step: String, Codable, Sendable {
        case thaw, guardian, release, disarm, discard, adopt, because, register, merge, remove, unregister, close,
            start, left
    }

    public enum Outcome: String, Codable, Sendable {
        /// The snapshot, or the merge, is there.
        case done
        /// Nothing is left of the run.
        case undone
        /// It could not reach what it was for; nothing is lost.
        case failed
        /// Not touched: a freeze by hand that is wanted still.
        case left
        /// More is to be done.
        case open
    }

    public struct Line: Codable, Sendable, Hashable {
        public var step: Step
        public var detail: String
        /// Would be done, without `--dry-run`.
        public var isPlanned: Bool
    }

    public struct Run: Codable, Sendable {
        public var run: String
        public var name: String
        public var startedAt: Timestamp
        public var outcome: Outcome = .open
        public var did: [Line] = []
        /// Why it is open still.
        public var failure: Cause?
        /// What the dead-man said that it had done.
        var deadManActed: String?

        private enum CodingKeys: String, CodingKey { case run, name, startedAt, outcome, did, failure }
    }

    public struct Guest: Codable, Sendable {
        public var domain: GuestIdentity
        public var runs: [Run] = []
        /// What was repaired, or how QEMU and the definitions disagree.
        public var quarantine: Quarantine?
        public var failure: Cause?

        public init(domain: GuestIdentity, failure: Failure? = nil) {
            self.domain = domain
            self.failure = failure.map(Cause.init)
        }
    }

    /// QEMU and the definitions tell different stories of some disks.
    public struct Quarantine: Codable, Sendable {
        public struct Disk: Codable, Sendable, Hashable {
            public var target: DiskTarget
            /// What the saved definition named.
            public var saved: String?
            /// What the running definition names.
            public var running: String?
            /// What QEMU writes to, the newest layer of a whole chain.
            public var newest: ImageLayer
        }

        public var disks: [Disk]
        /// The saved definition names the newest layers now.
        public var isRepaired: Bool
        /// The running definition is right as well.
        public var isOver: Bool
    }

    public var schema = "stillpoint.recover/v1"
    public var isDryRun: Bool
    public var exit: Int32
    public var guests: [Guest]
    /// What clones of verifications had left, by their names, and was removed.
    public var clones: [String]

    public init(_ guests: [Guest], clones: [String] = [], isDryRun: Bool) {
        self.guests = guests
        self.clones = clones
        self.isDryRun = isDryRun
        exit = (guests.compactMap(\.worst).min { Self.rank($0.code) < Self.rank($1.code) })?.code ?? 0
    }

    /// The last line of stderr.
    public var cause: Failure? { guests.compactMap(\.worst).first { $0.code == exit }?.asFailure }

    /// What somebody has to see first.
    private static func rank(_ code: Int32) -> Int {
        [ExitStatus.maybeFrozen, .quarantined, .unreachable, .notPermitted, .internalError, .busy].firstIndex {
            $0.rawValue == code
        } ?? .max
    }
}

extension RecoverReport.Outcome {
    init(_ ending: JournalEnding) {
        self =
            switch ending {
            case .done: .done
            case .undone: .undone
            case .failed: .failed
            }
    }
}

extension RecoverReport.Run {
    init(_ run: UnfinishedRun) {
        self.init(run: run.run.description, name: run.name, startedAt: run.startedAt)
    }

    /// Of a guest that is gone.
    public init(gone run: UnfinishedRun) {
        self.init(run)
        outcome = .failed
        note(.left, "\(run.guest.name) is no domain any more: nothing is frozen")
        for overlay in run.overlays { note(.left, "\(overlay) stays: nobody can say who needs it") }
    }

    mutating func note(_ step: RecoverReport.Step, _ detail: String) {
        did.append(.init(step: step, detail: detail, isPlanned: false))
    }

    mutating func fail(_ error: Failure) { failure = failure ?? Cause(error) }
}

extension RecoverReport.Guest {
    var worst: Cause? {
        let all = [failure].compactMap { $0 } + runs.compactMap(\.failure)
        let quarrel = quarantine.flatMap { $0.isOver ? nil : $0.cause(of: domain.name) }
        return (all + [quarrel].compactMap { $0 }).min { one, other in
            (one.code == ExitStatus.maybeFrozen.rawValue ? 0 : 1)
                < (other.code == ExitStatus.maybeFrozen.rawValue ? 0 : 1)
        }
    }
}

extension RecoverReport.Line {
    var text: String { isPlanned ? "would \(step.rawValue)   \(detail)" : "\(step.rawValue)   \(detail)" }
}

extension Cause {
    var asFailure: Failure { Failure(ExitStatus(rawValue: code) ?? .internalError, message, hint: hint) }
}

extension RecoverReport.Quarantine {
    fileprivate func cause(of guest: String) -> Cause {
        let targets = disks.map(\.target.description).joined(separator: " ")
        if isRepaired {
            return Cause(
                Failure(
                    .quarantined,
                    "\(guest): the saved definition is repaired; the running one is wrong about \(targets) until the guest is next started",
                    hint: "no data is at risk any more; until then no snapshot and no merge"))
        }
        return Cause(
            Failure(
                .quarantined, "\(guest): QEMU and libvirt disagree about \(targets): nothing on its disks is touched",
                hint: "leave it as it is, running or not, and   stillpoint recover \(guest) --repair"))
    }
}

extension RecoverReport {
    public func text(_ ink: Ink = .plain) -> String {
        var page = Page(label: 18)
        for (index, guest) in guests.enumerated() {
            if index > 0 { page.gap() }
            page.line(ink.bold(guest.domain.name) + "   " + guest.headline(isDryRun: isDryRun))
            for run in guest.runs {
                page.gap()
                page.line("  \(run.name), begun \(run.startedAt.local): \(run.words(isDryRun: isDryRun))")
                for line in run.did {
                    page.rows(line.isPlanned ? "would \(line.step.rawValue)" : line.step.rawValue, [line.detail])
                }
                if let failure = run.failure { page.rows("", [failure.message]) }
            }
            if let quarantine = guest.quarantine {
                page.gap()
                for disk in quarantine.disks {
                    page.rows("\(disk.target)", disk.rows(isRepaired: quarantine.isRepaired))
                }
            }
        }
        page.rows("removed", clones.map { "what the clone \($0) had left" })
        return guests.isEmpty && clones.isEmpty ? "nothing to recover\n" : page.text
    }
}

extension RecoverReport.Guest {
    fileprivate func headline(isDryRun: Bool) -> String {
        if let failure { return failure.message }
        if let quarantine {
            return quarantine.isOver ? "repaired" : quarantine.isRepaired ? "repaired in part" : "quarantined"
        }
        if runs.isEmpty { return "nothing to recover" }
        if runs.contains(where: { $0.failure != nil }) { return "not all could be done" }
        return isDryRun ? "would be recovered" : "recovered"
    }
}

extension RecoverReport.Run {
    fileprivate func words(isDryRun: Bool) -> String {
        switch outcome {
        case .done: isDryRun ? "would be finished" : "finished"
        case .undone: isDryRun ? "would be undone" : "undone"
        case .failed: "given up, nothing is lost"
        case .left: "left alone"
        case .open: "open still"
        }
    }
}

extension RecoverReport.Quarantine.Disk {
    fileprivate func rows(isRepaired: Bool) -> [String] {
        [
            "QEMU writes to         \(newest.path)",
            "running definition     \(running ?? "nothing")",
            "saved definition       \(isRepaired ? "\(saved ?? "nothing")  →  \(newest.path)" : saved ?? "nothing")",
        ]
    }
}
