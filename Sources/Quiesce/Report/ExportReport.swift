// SPDX-License-Identifier: Apache-2.0

/// One disk as its readers find it.
public struct ExportedDisk: Codable, Sendable, Hashable {
    public var target: DiskTarget
    /// A path, or the URI of an NBD export.
    public var place: String
    /// `raw` unless the image file itself is handed over.
    public var format: String
    /// What it is read from, newest first.
    public var chain: [ImageLayer]
    public var virtualSizeBytes: Int64

    public init(
        target: DiskTarget, place: String, format: String, chain: [ImageLayer], virtualSizeBytes: Int64
    ) {
        self.target = target
        self.place = place
        self.format = format
        self.chain = chain
        self.virtualSizeBytes = virtualSizeBytes
    }
}

/// `export`'s result, printed when the disks can be read.
public struct ExportReport: Codable, Sendable {
    public var schema = "stillpoint.export/v1"
    public var domain: GuestIdentity
    public var snapshot: String
    public var consistency: Consistency
    public var way: SnapshotUse.Way
    public var folder: String?
    /// Whether it goes on when the command has ended.
    public var isDetached: Bool
    public var isDryRun: Bool
    public var disks: [ExportedDisk]

    public init(
        _ report: RunReport, _ use: SnapshotUse, disks: [ExportedDisk], isDetached: Bool, isDryRun: Bool = false
    ) {
        (domain, snapshot, consistency) = (use.guest, use.snapshot, report.verdict.consistency)
        (way, folder, self.disks) = (use.way, use.folder, disks)
        (self.isDetached, self.isDryRun) = (isDetached, isDryRun)
    }

    public func text(_ ink: Ink = .plain) -> String {
        var page = Page(label: 12)
        let word = isDryRun ? "would be exported" : "exported"
        page.line(ink.bold("\(domain.name)   \(snapshot) \(word), read-only   \(consistency.rawValue)-consistent"))
        page.gap()
        var table = Table(rightAligned: [1])
        for disk in disks {
            table.add([disk.target.description, "\(ByteCount(disk.virtualSizeBytes))", disk.place])
        }
        page.rows("disks", table.rows)
        if !isDryRun {
            page.gap()
            page.rows("ends with", [isDetached ? "stillpoint export --stop \(domain.name) \(snapshot)" : "Ctrl-C"])
        }
        return page.text
    }
}

/// `export --stop`'s result.
public struct StopReport: Codable, Sendable {
    public struct Export: Codable, Sendable {
        public var domain: String
        public var snapshot: String
        public var folder: String?

        public init(_ use: SnapshotUse) { (domain, snapshot, folder) = (use.guest.name, use.snapshot, use.folder) }
    }

    public var schema = "stillpoint.stop/v1"
    public var stopped: [Export]
    public var isDryRun: Bool

    public init(_ uses: [SnapshotUse], isDryRun: Bool) {
        stopped = uses.map(Export.init)
        self.isDryRun = isDryRun
    }

    public func text(_ ink: Ink = .plain) -> String {
        guard !stopped.isEmpty else { return "no export to stop\n" }
        let word = isDryRun ? "would be stopped" : "stopped"
        return stopped.map { "\($0.domain)   \($0.snapshot)   \($0.folder ?? "")   \(word)\n" }.joined()
    }
}
