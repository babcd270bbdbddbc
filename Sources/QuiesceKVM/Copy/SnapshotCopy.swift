// SPDX-License-Identifier: Apache-2.0

import Glibc
public import Quiesce
import SystemPackage

public struct CopyRequest: Sendable {
    /// A folder that is not there yet, or is empty.
    public var folder: String
    public var format: CopyFormat
    public var isCompressed = false
    /// Compares each copy with its source.
    public var isVerified = false
    /// Bytes a second at most.
    public var bandwidth: UInt64?

    public init(to folder: String, _ format: CopyFormat) { (self.folder, self.format) = (folder, format) }
}

/// A snapshot on its way into a folder that needs nothing else to make a guest of it again: its frozen images, flat, and
/// the papers of its run, with a digest of each file.
public struct SnapshotCopy: Sendable {
    private let member: MemberReport
    private let report: RunReport
    private let request: CopyRequest
    private let run: RunID
    private let works: [CopyTools.Work]
    private let definition: String
    private let tools: CopyTools
    private let workplace: Workplace
    public let preview: CopyReport

    init(
        _ report: RunReport, _ run: RunID, _ member: MemberReport, _ request: CopyRequest, _ tools: CopyTools,
        in workplace: Workplace
    ) async throws(Failure) {
        (self.report, self.run, self.member, self.tools, self.workplace) = (report, run, member, tools, workplace)
        var request = request
        request.folder = try NewFolder.check(request.folder)
        self.request = request
        var works: [CopyTools.Work] = []
        var disks: [FlatImage] = []
        for disk in member.snapshot?.disks ?? [] {
            let file = "\(disk.target).\(request.format)"
            var work = CopyTools.Work(
                disk.target, ImageLayer(path: disk.frozenImage, format: disk.format), to: file, request.format)
            (work.isCompressed, work.bandwidth) = (request.isCompressed, request.bandwidth)
            disks.append(try await tools.measure(&work, virtualSize: disk.virtualSizeBytes))
            works.append(work)
        }
        self.works = works
        definition = try Manifest.definition(of: run, in: workplace.state)
        let papers =
            try Manifest.names(of: run, in: workplace.state) + BootFile.all(of: definition).map(\.name)
            + [CopyReport.file, DigestList.file]
        preview = CopyReport(
            report, member, at: workplace.time.wall, to: request.folder, disks: disks, papers: papers.sorted(),
            isCompressed: request.isCompressed, isVerified: request.isVerified)
    }

    /// Why it may not fit; nil where it does. A compressed copy takes less than anybody can tell before.
    public func shortage() throws(Failure) -> Failure? {
        try preview.disks.shortage(
            beside: request.folder, hint: "make room there, name another folder, or try --compress")
    }

    /// Makes it, and leaves nothing where that fails. Nobody merges into the images meanwhile.
    public func make(_ open: OpenImages, noting note: (String) -> Void) async throws(Failure) -> CopyReport {
        do throws(Failure) {
            let report = try await NewFolder.with(request.folder, mode: 0o700) { folder throws(Failure) in
                try await fill(folder, noting: note)
            }
            await open.close()
            return report
        } catch {
            await open.close()
            throw error
        }
    }

    private func fill(_ folder: NewFolder, noting note: (String) -> Void) async throws(Failure) -> CopyReport {
        let begin = workplace.time.now
        var report = preview
        let papers = try Manifest.papers(of: run, in: workplace.state)
        var digests = DigestList(of: papers)
        try await addDisks(to: folder, &report, &digests)
        for (name, bytes) in papers { try put(bytes, as: name, in: folder) }
        try await addBootFiles(to: folder, &report, &digests, noting: note)
        report.isDryRun = false
        report.tookMs = begin.duration(to: workplace.time.now).inMilliseconds
        let text = Array((try JSONText.of(report) + "\n").utf8)
        digests.add(CopyReport.file, SHA256.hex(of: text))
        try put(text, as: CopyReport.file, in: folder)
        try put(digests.bytes, as: DigestList.file, in: folder)
        try folder.finish()
        return report
    }

    private func addDisks(
        to folder: NewFolder, _ report: inout CopyReport, _ digests: inout DigestList
    ) async throws(Failure) {
        for (index, work) in works.enumerated() {
            let file = try await tools.convert(work, in: folder.draft, .copying)
            if request.isVerified { try await tools.compare(work, with: file) }
            let digest = try await tools.digest(of: file, work.file, work.target)
            digests.add(work.file, digest)
            try report.disks[index].look(at: folder.draft)
            report.disks[index].sha256 = digest
        }
    }

    /// A guest without its kernel is still a copy of its data.
    private func addBootFiles(
        to folder: NewFolder, _ report: inout CopyReport, _ digests: inout DigestList, noting note: (String) -> Void
    ) async throws(Failure) {
        for boot in try BootFile.all(of: definition) {
            do throws(Failure) {
                let file = try boot.copy(to: folder.draft)
                digests.add(boot.name, try await tools.digest(of: file, boot.name))
            } catch {
                guard error.status == .noSuchThing else { throw error }
                note("\(error.message): it is not copied, and the restored guest needs one to boot")
                report.notIncluded.append("\(boot.name): \(boot.path)")
                report.papers.removeAll { $0 == boot.name }
            }
        }
    }

    private func put(_ bytes: [UInt8], as name: String, in folder: NewFolder) throws(Failure) {
        try explaining("cannot write \(name) in \(folder.draft.path)", else: .refused) { () throws(Errno) in
            try folder.draft.write(bytes, as: name)
        }
    }
}

/// The frozen images of a snapshot, open, and written down as in use by this process.
public final class OpenImages: Sendable {
    private let disks: [FrozenDisk]
    private let use: SnapshotUse
    private let ledger: Ledger

    /// The caller has the guest's lock.
    init(_ member: MemberReport, as use: SnapshotUse, ledger: Ledger) async throws(Failure) {
        disks = try await ImageExport.opened(member.snapshot?.disks ?? [])
        (self.use, self.ledger) = (use, ledger)
        try await ledger.keep(use)
    }

    func close() async { try? await ledger.forget(use) }
}

extension OpenGuest {
    /// What a copy comes to; nothing is touched.
    public func copy(
        _ report: RunReport, _ request: CopyRequest, interruption: Interruption,
        telling listener: @escaping @Sendable (CopyProgress) -> Void
    ) async throws(Failure) -> SnapshotCopy {
        let (run, member) = try await exportable(report)
        return try await SnapshotCopy(
            report, run, member, request, try CopyTools(interruption: interruption, telling: listener), in: workplace)
    }

    /// Keeps the images as they are until that copy is made; the caller has the guest's lock.
    public func openImages(of report: RunReport, for copy: SnapshotCopy) async throws(Failure) -> OpenImages {
        let (run, member) = try await exportable(report)
        try await workplace.clearLeavings()
        let use = SnapshotUse(
            .copy, of: run, member.snapshot?.name ?? "", identity, since: time.wall, way: .images,
            folder: copy.preview.folder, process: .current)
        return try await OpenImages(member, as: use, ledger: ledger)
    }
}

extension [FlatImage] {
    /// Why they may not fit beside that path, with other files of those sizes; nil where they do.
    func shortage(beside path: String, with others: [Int64] = [], hint: String) throws(Failure) -> Failure? {
        let place = QuiesceKVM.split(path).folder
        let free = try QemuImages.freeBytes(in: place)
        var wanted: Int64 = 16 << 20
        for bytes in map(\.allocatedBytes) + others {
            let (sum, overflow) = wanted.addingReportingOverflow(bytes)
            wanted = overflow ? .max : sum
        }
        guard free < wanted else { return nil }
        return Failure(
            .refused, "\(place) has \(ByteCount(free)) left, and the disks take up to \(ByteCount(wanted))", hint: hint)
    }
}

extension FlatImage {
    /// What it takes now that it is there.
    mutating func look(at folder: Folder) throws(Failure) {
        let name = file
        let status = try explaining("cannot look at \(folder.path(of: name))", else: .internalError) {
            () throws(Errno) in
            guard let status = try folder.status(of: name) else { throw .noSuchFileOrDirectory }
            return status
        }
        (fileBytes, allocatedBytes) = (status.size, status.sizeAllocated)
    }
}
