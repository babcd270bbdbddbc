// SPDX-License-Identifier: Apache-2.0

/// Where one guest stands now.
public struct StatusReport: Codable, Sendable {
    public struct Job: Codable, Sendable {
        public var target: DiskTarget
        public var kind: String
        public var done: UInt64
        public var total: UInt64

        public init(target: DiskTarget, kind: String, done: UInt64, total: UInt64) {
            self.target = target
            self.kind = kind
            self.done = done
            self.total = total
        }
    }

    public var schema = "stillpoint.status/v1"
    public var domain: GuestIdentity
    public var state: String
    public var agent: String
    /// The agent's belief, which can be wrong both ways: only a thaw's count is evidence.
    public var freeze: String
    /// Who holds the guest's lock.
    public var busy: String?
    /// Runs that broke off, and freezes by hand. While somebody is at work only these: another run may be theirs.
    public var unfinished: [String]
    public var current: String?
    public var jobs: [Job]

    public init(_ facts: GuestFacts, busy: String?, unfinished: [UnfinishedRun], current: String?, jobs: [Job]) {
        domain = facts.guest
        state = facts.power.word
        (agent, freeze) =
            switch facts.agent {
            case .unasked: ("not asked", "unknown")
            case .noChannel: ("no channel", "unknown")
            case .notConnected: ("not connected", "unknown")
            case .silent(let why): ("silent: \(why)", "unknown")
            case .answers(let report): ("\(report.version) on \(report.system.prettyName)", report.freezeState.rawValue)
            }
        self.busy = busy
        self.unfinished = unfinished.filter { busy == nil || $0.isByHand }.map { run in
            "\(run.name), begun \(run.startedAt.local), did not end: stillpoint \(run.isByHand ? "thaw" : "recover") \(run.guest.name)"
        }
        self.current = current
        self.jobs = jobs
    }

    public func text(_ ink: Ink = .plain) -> String {
        var page = Page(label: 12)
        page.line(ink.bold(domain.name))
        page.rows("state", [state])
        page.rows("agent", [agent])
        page.rows("freeze", ["\(freeze), as the agent believes"])
        page.rows("busy", busy.map { [$0] } ?? [])
        page.rows("unfinished", unfinished)
        page.rows("snapshot", [current ?? "none"])
        page.rows("jobs", jobs.map { "\($0.target)   \($0.kind)   \($0.progress)" })
        return page.text
    }
}

extension GuestFacts.Power {
    /// As virsh's domstate has it.
    var word: String {
        switch self {
        case .running: "running"
        case .paused(let why): "paused (\(why))"
        case .shutOff: "shut off"
        case .other(let word): word
        }
    }
}
