// SPDX-License-Identifier: Apache-2.0

extension MemberPlan {
    /// The status that a snapshot made of this plan would end with, as far as it can be known before.
    public var foreseen: ExitStatus {
        if let refusal = findings.refusal, case .refuses(let status) = refusal.weight { return status }
        let level = reachable
        if level >= asked { return .reached }
        if isRequired { return .requiredLevelMissed }
        return level == .filesystem ? .filesystemOnly : .crashOnly
    }

    /// Why it would end with that, in one line; nil where nothing is missed.
    public var cause: String? {
        guard foreseen != .reached else { return nil }
        let finding = findings.refusal ?? findings.first { $0.weight == .limits(reachable) }
        return finding?.text
            ?? "\(guest.name) can reach \(reachable.rawValue), and \(asked.rawValue) is asked for"
    }

    /// The best level this plan can reach.
    public var reachable: Consistency {
        if method.isAtRest { return findings.ceiling }
        guard freezes else { return min(findings.ceiling, .crash) }
        return min(findings.ceiling, applications.contains(where: \.isRequired) ? .application : .filesystem)
    }

    /// What `plan` prints: what would be done, and everything that speaks against it.
    public func text(_ ink: Ink = .plain) -> String {
        var page = Page(label: 12)
        page.line(ink.bold("\(guest.name)   \(asked.rawValue) asked, \(reachable.rawValue) can be reached"))
        page.gap()
        var table = Table(rightAligned: [1])
        for disk in disks {
            table.add([
                disk.target.description, "\(ByteCount(disk.virtualSizeBytes))", "\(disk.base.path)  →  \(disk.overlay)",
            ])
        }
        page.rows("disks", table.rows)
        page.rows("left out", leftOut.map { "\($0.target.description.padded(to: 6)) \($0.reason)" })
        if method.isAtRest || method.memoryFile != nil {
            page.rows("cut", [methodText])
        } else {
            page.rows("freeze", frozen.isEmpty ? ["nothing"] : [frozen.map(\.mountpoint).joined(separator: "   ")])
        }
        page.rows("sync only", notFreezable.isEmpty ? [] : [notFreezable.map(\.mountpoint).joined(separator: "   ")])
        if freezes {
            page.rows("window", ["at most \(maxFreeze.forPeople)\(expedites ? ", RCU expedited" : "")"])
        }
        page.rows("prepare", applications.map(\.label))
        page.gap()
        page.findings(findings, ink)
        return page.text
    }

    private var methodText: String {
        let power = shutsDown.map { "shut down within \($0.forPeople), cut, started again" }
        return switch method {
        case .live: ""
        case .atRest: power ?? "the guest is off: its definition moves to the overlays"
        case .inside: (power.map { $0 + "; " } ?? "") + "inside the images, no overlays"
        case .withMemory(let file): "disks and memory at one moment, without a freeze; memory to \(file)"
        }
    }

    /// What `doctor` prints: every obstacle with its fix.
    public func diagnosis(_ ink: Ink = .plain) -> String {
        var page = Page(label: 6)
        let report = facts.agent.report
        let agent = report.map { "\($0.system.prettyName), agent \($0.version)" } ?? "no agent"
        page.line(
            ink.bold("\(guest.name)   \(facts.power.word), \(agent)".padded(to: 46))
                + "   now: \(now.rawValue), can be: \(canBe.rawValue)")
        page.gap()
        page.findings(findings, ink)
        return page.text
    }

    /// What it could reach once every finding is mended.
    public var canBe: Consistency {
        let isBlind = facts.agent.report?.canExecute != true
        return isBlind || asked == .application || !applications.isEmpty ? .application : .filesystem
    }

    /// What a snapshot taken now would reach.
    public var now: Consistency { findings.refusal == nil ? reachable : .none }
}

extension Page {
    /// The worst first.
    mutating func findings(_ findings: [Finding], _ ink: Ink) {
        let sorted = findings.enumerated().sorted { ($0.element.order, $0.offset) < ($1.element.order, $1.offset) }
        for (_, finding) in sorted {
            let word = finding.word.padded(to: 5)
            line("  " + (finding.order < 2 ? ink.bold(word) : word) + " " + finding.text)
            for fix in finding.fix { line("          " + fix) }
        }
    }
}

extension Finding {
    /// `FIX`, `LIMIT`, `NOTE` or `ok`.
    public var word: String {
        switch weight {
        case .refuses: "FIX"
        case .limits: "LIMIT"
        case .note: "NOTE"
        case .fine: "ok"
        }
    }

    fileprivate var order: Int {
        switch weight {
        case .refuses: 0
        case .limits: 1
        case .note: 2
        case .fine: 3
        }
    }
}

/// `plan --json` and `doctor --json`.
public struct PlanReport: Codable, Sendable {
    public struct Disk: Codable, Sendable {
        public var target: DiskTarget
        public var base: ImageLayer
        public var overlay: String
        public var virtualSizeBytes: Int64
        public var depth: Int
    }

    public struct Remark: Codable, Sendable {
        public var weight: String
        public var code: String
        public var text: String
        public var fix: [String]
    }

    public var schema: String
    public var domain: GuestIdentity
    public var asked: Consistency
    public var now: Consistency
    public var canBe: Consistency
    public var exit: Int32
    public var agentVersion: String?
    public var system: String?
    public var disks: [Disk]
    public var excluded: [MemberReport.Excluded]
    public var freeze: [String]
    public var notFreezable: [String]
    public var maxFreezeMs: Int64
    public var expedites: Bool
    public var applications: [String]
    public var findings: [Remark]

    public init(_ plan: MemberPlan, schema: String) {
        self.schema = schema
        domain = plan.guest
        asked = plan.asked
        now = plan.now
        canBe = plan.canBe
        exit = plan.foreseen.rawValue
        agentVersion = plan.facts.agent.report?.version
        system = plan.facts.agent.report?.system.prettyName
        disks = plan.disks.map {
            Disk(
                target: $0.target, base: $0.base, overlay: $0.overlay, virtualSizeBytes: $0.virtualSizeBytes,
                depth: $0.chain.count)
        }
        excluded = plan.leftOut.map { .init(target: $0.target, reason: $0.reason) }
        freeze = plan.frozen.map(\.mountpoint)
        notFreezable = plan.notFreezable.map(\.mountpoint)
        maxFreezeMs = plan.maxFreeze.inMilliseconds
        expedites = plan.expedites
        applications = plan.applications.map(\.label)
        findings = plan.findings.map { Remark(weight: $0.word.lowercased(), code: $0.code, text: $0.text, fix: $0.fix) }
    }
}
