// SPDX-License-Identifier: Apache-2.0

/// The two kinds of image that a copy is made of.
public enum CopyFormat: String, Codable, Sendable, CaseIterable { case raw, qcow2 }

/// How far the work on one disk's copy has come.
public struct CopyProgress: Sendable, Hashable {
    public enum Step: String, Sendable { case copying, comparing, summing, checking, restoring }

    public var target: DiskTarget
    public var step: Step
    public var done: UInt64
    /// 0 where nobody counts.
    public var total: UInt64

    public init(_ target: DiskTarget, _ step: Step, done: UInt64 = 0, of total: UInt64 = 0) {
        (self.target, self.step, self.done, self.total) = (target, step, done, total)
    }
}

/// One disk's flat image, made or to be made: the whole chain's content in one file.
public struct FlatImage: Codable, Sendable, Hashable {
    public var target: DiskTarget
    /// Its name in the folder.
    public var file: String
    public var format: CopyFormat
    public var virtualSizeBytes: Int64
    /// As long as the file is; nil before it is made.
    public var fileBytes: Int64?
    /// On the disk, holes left out; before it is made, at most.
    public var allocatedBytes: Int64
    public var sha256: String?

    public init(
        target: DiskTarget, file: String, format: CopyFormat, virtualSizeBytes: Int64, allocatedBytes: Int64
    ) {
        (self.target, self.file, self.format) = (target, file, format)
        (self.virtualSizeBytes, self.allocatedBytes) = (virtualSizeBytes, allocatedBytes)
    }
}

/// `copy`'s result, and `copy.json` in the folder that it makes.
public struct CopyReport: Codable, Sendable {
    public static let file = "copy.json"

    public var schema = "stillpoint.copy/v1"
    public var domain: GuestIdentity
    public var run: String
    public var snapshot: String
    public var consistency: Consistency
    public var cutAt: Timestamp?
    public var copiedAt: Timestamp
    public var folder: String
    public var isCompressed: Bool
    public var disks: [FlatImage]
    /// What lies beside the images.
    public var papers: [String]
    /// What the guest has and the copy does not, each with its reason.
    public var notIncluded: [String]
    /// Every image was read back and compared with what it was copied from.
    public var isVerified: Bool
    public var tookMs: Int64 = 0
    public var isDryRun = true

    public init(
        _ report: RunReport, _ member: MemberReport, at time: Timestamp, to folder: String, disks: [FlatImage],
        papers: [String], isCompressed: Bool, isVerified: Bool
    ) {
        (domain, run, snapshot) = (member.domain, report.run, member.snapshot?.name ?? "")
        (consistency, cutAt, copiedAt) = (report.verdict.consistency, report.cut?.at, time)
        (self.folder, self.disks, self.papers) = (folder, disks, papers)
        (self.isCompressed, self.isVerified) = (isCompressed, isVerified)
        notIncluded =
            (member.snapshot?.excluded ?? []).map { "\($0.target): \($0.reason)" }
            + (member.snapshot?.memory.map { ["memory: \($0.file)"] } ?? [])
            + (member.snapshot?.notIncluded ?? [])
    }

    public func text(_ ink: Ink = .plain) -> String {
        var page = Page(label: 12)
        let total = disks.reduce(Int64(0)) { $0.addingClamped($1.allocatedBytes) }
        let time = Duration.milliseconds(tookMs).forPeople
        let verb = isDryRun ? "would be copied, \(ByteCount(total)) at most" : "copied, \(ByteCount(total)) in \(time)"
        page.line(ink.bold("\(domain.name)   \(snapshot) \(verb)   \(consistency.rawValue)-consistent"))
        page.gap()
        page.rows("to", [folder])
        page.rows("disks", disks.rows)
        page.rows("with", [papers.joined(separator: "   ")])
        page.rows("without", notIncluded)
        if isVerified { page.rows("compared", ["each image with what it \(isDryRun ? "is" : "was") copied from"]) }
        if !isDryRun {
            page.gap()
            page.rows("back", ["stillpoint restore \(folder)/manifest.json --as NAME"])
        }
        return page.text
    }
}

/// `restore`'s result.
public struct RestoreReport: Codable, Sendable {
    public var schema = "stillpoint.restore/v1"
    /// The new guest.
    public var domain: GuestIdentity
    /// The one that was copied.
    public var origin: GuestIdentity
    public var snapshot: String
    public var consistency: Consistency
    public var cutAt: Timestamp?
    /// The copy.
    public var source: String
    public var folder: String
    public var disks: [FlatImage]
    /// What of the saved definition the guest has not, or has otherwise.
    public var stripped: [String]
    /// Images that came without a digest to check them by.
    public var unchecked: [DiskTarget]
    /// What hooks gave, and an application may need before its first start.
    public var artifacts: [String]
    public var tookMs: Int64 = 0
    public var isDryRun = true

    public init(
        _ domain: GuestIdentity, of report: RunReport, _ member: MemberReport, from source: String, to folder: String,
        disks: [FlatImage], stripped: [String], unchecked: [DiskTarget]
    ) {
        (self.domain, origin, snapshot) = (domain, member.domain, member.snapshot?.name ?? "")
        (consistency, cutAt) = (report.verdict.consistency, report.cut?.at)
        (self.source, self.folder, self.disks) = (source, folder, disks)
        (self.stripped, self.unchecked) = (stripped, unchecked)
        artifacts = member.applications.flatMap(\.artifacts).map(\.name)
    }

    public func text(_ ink: Ink = .plain) -> String {
        var page = Page(label: 12)
        let time = Duration.milliseconds(tookMs).forPeople
        page.line(ink.bold("\(domain.name)   \(isDryRun ? "would be restored" : "restored in \(time), not started")"))
        page.gap()
        page.rows("from", [source])
        let cut = cutAt.map { "   cut at \($0.local)" } ?? ""
        page.rows("snapshot", ["\(snapshot) of \(origin.name)\(cut)   \(consistency.rawValue)-consistent"])
        page.rows("uuid", [domain.uuid + (domain.uuid == origin.uuid ? "   as before" : "   new")])
        page.rows("to", [folder])
        page.rows("disks", disks.rows)
        page.rows("left out", stripped)
        if !unchecked.isEmpty {
            page.rows(
                "unchecked", ["\(unchecked.map(\.description).joined(separator: " ")): no digest came with the images"])
        }
        page.rows("needs", artifacts.map { "\(source)/\($0)" })
        if !isDryRun {
            page.gap()
            page.rows("start", ["virsh start \(domain.name)"])
        }
        return page.text
    }
}

extension [FlatImage] {
    fileprivate var rows: [String] {
        var table = Table(rightAligned: [1, 2])
        for disk in self {
            table.add([
                disk.target.description, "\(ByteCount(disk.virtualSizeBytes))", "\(ByteCount(disk.allocatedBytes))",
                disk.file,
            ])
        }
        return table.rows
    }
}
