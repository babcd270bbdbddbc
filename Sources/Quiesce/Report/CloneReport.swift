// SPDX-License-Identifier: Apache-2.0

/// What a clone that was started from the frozen images showed.
public struct CloneReport: Codable, Sendable {
    /// One instance of an application. The words are the clone's, and so the guest's.
    public struct Application: Codable, Sendable {
        public var name: String
        public var instance: String?
        public var version: String?
        public var check: Check
        /// At the cut, as the manifest has it.
        public var recorded: Position?
        public var recovered: Position?
        public var tookMs: Int64
    }

    public var name: String
    public var uuid: String
    public var dropped: [String]
    /// From the start until its agent answered.
    public var bootMs: Int64?
    /// From the start until the last application had recovered.
    public var recoveryMs: Int64?
    public var applications: [Application] = []
    /// Its last lines, where it did not get as far as it should.
    public var console: [String] = []
    public var kept = false

    init(_ plan: ClonePlan) {
        name = plan.name
        uuid = plan.uuid
        dropped = plan.dropped
    }

    func write(on page: inout Page) {
        var table = Table()
        for application in applications {
            let name = [application.name, application.instance].compactMap(\.self).joined(separator: " ")
            table.add([name, application.version ?? "", application.check.result.rawValue, application.check.detail])
        }
        page.rows("recovered*", table.rows)
        page.rows("left out", dropped)
        page.gap()
        page.rows("console*", console)
        if kept {
            page.rows("look", ["virsh console \(name)"])
            page.rows("end it", ["virsh destroy \(name)", "stillpoint recover"])
        }
        if !applications.isEmpty || !console.isEmpty { page.line("  * as reported by the clone") }
    }
}

extension CloneReport.Application {
    init(_ wanted: CloneRun.Wanted, _ check: Check, recovered: Position? = nil, tookMs: Int64 = 0) {
        name = wanted.choice.hook.name
        instance = wanted.instance
        version = wanted.version
        recorded = wanted.recorded
        self.check = check
        self.recovered = recovered
        self.tookMs = tookMs
    }
}

extension ClonePlan {
    /// What `--dry-run` prints.
    public func text(_ ink: Ink = .plain) -> String {
        var page = Page(label: 12)
        page.line(ink.bold("\(guest.name)   would be cloned as \(name)"))
        page.gap()
        page.rows("memory", ["\(ByteCount(memoryKiB << 10))"])
        page.rows(
            "disks",
            disks.map { "\($0.target.description.padded(to: 6)) \(folder)/\($0.target).qcow2  →  \($0.frozenImage)" })
        page.rows("left out", dropped)
        return page.text
    }
}

/// `verify --level application --dry-run --json`
public struct ClonePlanReport: Codable, Sendable {
    public var schema = "stillpoint.clone/v1"
    public var domain: GuestIdentity
    public var name: String
    public var folder: String
    public var memoryKiB: Int64
    public var disks: [DiskTarget]
    public var dropped: [String]

    public init(_ plan: ClonePlan) {
        domain = plan.guest
        name = plan.name
        folder = plan.folder
        memoryKiB = plan.memoryKiB
        disks = plan.disks.map(\.target)
        dropped = plan.dropped
    }
}
