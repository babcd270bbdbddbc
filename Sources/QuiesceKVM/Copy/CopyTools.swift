// SPDX-License-Identifier: Apache-2.0

import Glibc
import JSON
import Quiesce
import SystemPackage

/// The host's programs that move a disk's content, ended when somebody wants to stop.
struct CopyTools: Sendable {
    private let qemuImg: Tool
    private let sha256sum: Tool
    let interruption: Interruption
    private let tell: @Sendable (CopyProgress) -> Void

    /// Nothing here has a reason to take longer.
    private static let patience = Duration.seconds(7 * 86_400)

    init(
        interruption: Interruption, telling listener: @escaping @Sendable (CopyProgress) -> Void
    ) throws(Failure) {
        qemuImg = try QemuImages().qemuImg
        do throws(ToolError) { sha256sum = try Tool("sha256sum", package: "coreutils") } catch {
            throw Failure(.refused, "\(error)")
        }
        self.interruption = interruption
        tell = listener
    }

    /// One image and where its content goes, or comes from.
    struct Work: Sendable {
        var target: DiskTarget
        var source: ImageLayer
        /// In words, where the path says nothing.
        var sourceName: String
        /// Its name in the folder that it is made in.
        var file: String
        var format: CopyFormat
        var isCompressed = false
        /// Bytes a second at most.
        var bandwidth: UInt64?
        /// Bytes that there are to move.
        var total: UInt64 = 0

        init(
            _ target: DiskTarget, _ source: ImageLayer, named name: String? = nil, to file: String, _ format: CopyFormat
        ) {
            (self.target, self.source, self.file, self.format) = (target, source, file, format)
            sourceName = name ?? source.path
        }
    }

    /// What comes of it, with the bytes that it takes at most, its holes left out.
    ///
    /// - Parameter work: its total is set.
    func measure(_ work: inout Work, virtualSize: Int64) async throws(Failure) -> FlatImage {
        let what = "cannot measure \(work.sourceName)"
        // Of a raw image it tells the length, whatever the holes.
        let answer = try await run(
            qemuImg, ["measure", "--output=json", "-f", work.source.format, "-O", "qcow2", "--", work.source.path],
            what)
        guard let required = (try? JSONValue(parsing: answer))?["required"]?.integer else {
            throw Failure(.internalError, "\(what): qemu-img's answer is not understood")
        }
        let bytes = work.format == .raw ? min(required, virtualSize) : required
        work.total = UInt64(clamping: bytes)
        return FlatImage(
            target: work.target, file: work.file, format: work.format,
            virtualSizeBytes: virtualSize, allocatedBytes: bytes)
    }

    /// Makes the file, flat, synced, the caller's alone. qemu-img is handed the open file and no name: whoever owns a folder
    /// above it could lay a link there meanwhile.
    @discardableResult
    func convert(_ work: Work, in folder: Folder, _ step: CopyProgress.Step) async throws(Failure) -> OpenFile {
        let path = folder.path(of: work.file)
        let file = try explaining("cannot write \(path)", else: .refused) { () throws(Errno) in
            try folder.open(work.file, O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
        }
        var arguments = ["convert", "-p", "-f", work.source.format, "-O", work.format.rawValue]
        if work.isCompressed { arguments += ["-c", "-o", "compression_type=zstd"] }
        if let bandwidth = work.bandwidth { arguments += ["-r", "\(bandwidth)"] }
        try await run(
            qemuImg, arguments + ["--", work.source.path, file.link],
            "cannot copy \(work.sourceName) to \(path)", Gauge(work, step))
        try explaining("cannot sync \(path)", else: .refused, file.sync)
        // What is read back afterwards is to come from the disk.
        posix_fadvise(file.descriptor, 0, 0, POSIX_FADV_DONTNEED)
        return file
    }

    /// - Throws: `.verificationFailed` if a guest would not read the same from both.
    func compare(_ work: Work, with copy: OpenFile) async throws(Failure) {
        let arguments = ["compare", "-p", "-f", work.source.format, "-F", work.format.rawValue]
        try await run(
            qemuImg, arguments + ["--", work.source.path, copy.link],
            "the copy of \(work.target) is not what \(work.sourceName) is", Gauge(work, .comparing),
            else: .verificationFailed)
    }

    /// SHA-256 of a file, as 64 hexadecimal digits.
    func digest(
        of file: OpenFile, _ what: String, _ target: DiskTarget? = nil, _ step: CopyProgress.Step = .summing
    ) async throws(Failure) -> String {
        let what = "cannot read \(what)"
        let size = try explaining(what, else: .refused, file.status).size
        let gauge = target.map { Gauge(reading: UInt64(clamping: size), of: $0, step) }
        let answer = try await run(sha256sum, ["--", file.link], what, gauge)
        let digest = String(decoding: answer.drop { $0 == UInt8(ascii: "\\") }.prefix(64), as: UTF8.self)
        guard digest.utf8.count == 64 else {
            throw Failure(.internalError, "\(what): sha256sum's answer is not understood")
        }
        return digest
    }

    /// Runs it to its end, or until somebody wants to stop; the end of what it wrote to standard output.
    @discardableResult
    private func run(
        _ tool: Tool, _ arguments: [String], _ what: String, _ gauge: Gauge? = nil, else status: ExitStatus = .refused
    ) async throws(Failure) -> [UInt8] {
        if let status = interruption.status { throw Failure(status, "\(what): interrupted") }
        if let gauge { tell(gauge.progress(0)) }
        let result: ToolResult
        do throws(ToolError) {
            result = try await tool.watched(arguments, until: interruption, deadline: .now + Self.patience) {
                [tell] signs in
                if let gauge, let done = gauge.read(signs) { tell(gauge.progress(done)) }
            }
        } catch {
            if let status = interruption.status { throw Failure(status, "\(what): interrupted") }
            throw Failure(error, what)
        }
        if let status = interruption.status { throw Failure(status, "\(what): interrupted") }
        if result.succeeded {
            if let gauge { tell(gauge.progress(gauge.total)) }
            return result.output
        }
        if String(decoding: result.errors, as: UTF8.self).contains("No space left on device") {
            throw Failure(.noSpace, what, else: .refused)
        }
        // `compare` says on standard output where they differ.
        let words = ToolResult.lastLine(of: result.errors.isEmpty ? result.output : result.errors) ?? result.reason
        throw Failure(status, "\(what): \(words)")
    }
}

/// How far a program is.
struct Gauge: Sendable {
    let total: UInt64
    /// The bytes that are done; nil where nothing tells.
    let read: @Sendable (Tool.Signs) -> UInt64?
    private let target: DiskTarget
    private let step: CopyProgress.Step

    /// By the percentage that qemu-img tells.
    init(_ work: CopyTools.Work, _ step: CopyProgress.Step) {
        (target, self.step, total) = (work.target, step, work.total)
        read = { [total] signs in signs.percent.map { UInt64(Double(total) * $0 / 100) } }
    }

    /// By where it stands in the file that it has opened first.
    init(reading total: UInt64, of target: DiskTarget, _ step: CopyProgress.Step) {
        (self.target, self.step, self.total) = (target, step, total)
        read = { signs in
            // proc(5): `pos:` and the offset in decimal. 0 to 2 are the standard streams.
            guard let process = signs.process,
                let file = try? OpenFile(posix { open("/proc/\(process)/fdinfo/3", O_RDONLY | O_CLOEXEC) }),
                let bytes = try? file.read(256)
            else { return nil }
            let words = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
            return words.count > 1 && words[0] == "pos:" ? UInt64(words[1]).map { min($0, total) } : nil
        }
    }

    func progress(_ done: UInt64) -> CopyProgress { CopyProgress(target, step, done: done, of: total) }
}
