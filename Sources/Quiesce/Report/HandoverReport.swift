// SPDX-License-Identifier: Apache-2.0

/// A run whose snapshot was handed to somebody: the run's own object (`stillpoint.run/v1`) and in it what was handed over,
/// how the command ended, and the commit.
public struct HandoverReport: Encodable, Sendable {
    /// How `run`'s command ended.
    public struct Command: Codable, Sendable, Hashable {
        /// 128 and the signal's number for one that a signal ended.
        public var exit: Int32
        public var signal: Int32?
        public var tookMs: Int64

        public init(exit: Int32, signal: Int32?, tookMs: Int64) {
            (self.exit, self.signal, self.tookMs) = (exit, signal, tookMs)
        }

        /// `exit status 3`, `ended by signal 9`
        public var words: String { signal.map { "ended by signal \($0)" } ?? "exit status \(exit)" }
    }

    public var run: RunReport
    public var disks: [ExportedDisk]
    public var manifest: String
    /// Where the flat files lie; nil where the images themselves are handed over.
    public var folder: String?
    public var label: String?
    public var until: Timestamp?
    /// `begin` found it begun already.
    public var isTakenUp = false
    public var command: Command?
    public var commit: CommitReport?

    public init(_ run: RunReport, manifest: String, use: SnapshotUse, disks: [ExportedDisk]) {
        (self.run, self.manifest, self.disks) = (run, manifest, disks)
        (folder, label, until) = (use.folder, use.label, use.until)
    }

    private enum Key: String, CodingKey {
        case exported, manifest, folder, label, until, takenUp, command, commit
    }

    public func encode(to encoder: any Encoder) throws {
        try run.encode(to: encoder)
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(disks, forKey: .exported)
        try container.encode(manifest, forKey: .manifest)
        try container.encode(folder, forKey: .folder)
        try container.encode(label, forKey: .label)
        try container.encode(until, forKey: .until)
        try container.encode(isTakenUp, forKey: .takenUp)
        try container.encode(command, forKey: .command)
        try container.encode(commit, forKey: .commit)
    }

    /// What the command finds in its environment, and `begin --output env` prints.
    public var variables: [(name: String, value: String)] {
        let places = Dictionary(disks.map { ($0.target, $0) }, uniquingKeysWith: { first, _ in first })
        var all = run.variables(manifest: manifest, showing: places)
        if let folder { all.append(("STILLPOINT_FOLDER", folder)) }
        if let label { all.append(("STILLPOINT_LABEL", label)) }
        return all
    }

    public var environment: String { RunReport.shellLines(variables) }
}

extension RunReport {
    /// `STILLPOINT_…='…'` lines, safe for a shell's `eval` whatever the values hold.
    public var environment: String { Self.shellLines(variables(manifest: nil, showing: [:])) }

    static func shellLines(_ variables: [(name: String, value: String)]) -> String {
        variables.map { "\($0.name)='\($0.value.replacing("'", with: "'\\''"))'\n" }.joined()
    }

    /// - Parameter places: where disks are shown; those that are not in it are the image files themselves.
    func variables(
        manifest: String?, showing places: [DiskTarget: ExportedDisk]
    ) -> [(name: String, value: String)] {
        var all = [("STILLPOINT_RUN", run), ("STILLPOINT_CONSISTENCY", verdict.consistency.rawValue)]
        if let manifest { all.append(("STILLPOINT_MANIFEST", manifest)) }
        for member in members {
            all.append(("STILLPOINT_DOMAIN", member.domain.name))
            guard let snapshot = member.snapshot else { continue }
            all.append(("STILLPOINT_SNAPSHOT", snapshot.name))
            all.append(("STILLPOINT_DISKS", snapshot.disks.map(\.target.description).joined(separator: " ")))
            for disk in snapshot.disks {
                let shown = places[disk.target]
                all.append(("STILLPOINT_DISK_\(disk.target)", shown?.place ?? disk.frozenImage))
                all.append(("STILLPOINT_FORMAT_\(disk.target)", shown?.format ?? disk.format))
                // A line each: a path may hold anything else.
                let chain = (shown?.chain ?? disk.chain).map(\.path).joined(separator: "\n")
                all.append(("STILLPOINT_CHAIN_\(disk.target)", chain))
            }
        }
        return all.map { (name: $0.0, value: $0.1) }
    }
}

extension HandoverReport {
    /// What `begin` prints.
    public func text(_ ink: Ink = .plain) -> String {
        guard let member = run.members.first, let snapshot = member.snapshot else { return "" }
        var page = Page(label: 12)
        let word = isTakenUp ? "was begun already" : "begun"
        page.line(
            ink.bold(
                "\(member.domain.name)   \(snapshot.name) \(word)   \(run.verdict.consistency.rawValue)-consistent"))
        page.gap()
        var table = Table(rightAligned: [1])
        for disk in disks {
            table.add([disk.target.description, "\(ByteCount(disk.virtualSizeBytes))", disk.place])
        }
        page.rows("disks", table.rows)
        page.rows("run", [run.run])
        page.rows("label", label.map { [$0] } ?? [])
        page.gap()
        page.rows("end it", ["stillpoint end \(member.domain.name) \(run.run)"])
        page.rows("or it ends", until.map { ["by itself, \($0.local)"] } ?? [])
        return page.text
    }
}

/// `end`'s result.
public struct EndReport: Codable, Sendable {
    public var schema = "stillpoint.end/v1"
    public var domain: GuestIdentity
    public var snapshot: String?
    public var label: String?
    /// Nil where nothing was open, or nothing was left to merge.
    public var commit: CommitReport?
    public var isDryRun: Bool

    public init(domain: GuestIdentity, use: SnapshotUse?, commit: CommitReport?, isDryRun: Bool = false) {
        (self.domain, snapshot, label) = (domain, use?.snapshot, use?.label)
        (self.commit, self.isDryRun) = (commit, isDryRun)
    }

    public func text(_ ink: Ink = .plain) -> String {
        guard let snapshot else { return "\(domain.name)   nothing is open\n" }
        if let commit { return commit.text(ink) }
        return "\(domain.name)   \(snapshot) \(isDryRun ? "would be ended" : "was merged already")\n"
    }
}
