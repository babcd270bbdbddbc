// SPDX-License-Identifier: Apache-2.0

import Glibc
import JSON
import Quiesce
import Synchronization
import SystemPackage

/// The host's programs that move a disk's content, ended when somebody wants to stop.
struct CopyTools: Sendable {
    private let qemuImg: Tool
    private let sha256sum: Tool
    private let interruption: Interruption
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
        var destination: String
        var format: CopyFormat
        var isCompressed = false
        /// Bytes a second at most.
        var bandwidth: UInt64?
        /// Bytes that there are to move.
        var total: UInt64 = 0

        init(
            _ target: DiskTarget, _ source: ImageLayer, named name: String? = nil, to path: String, _ format: CopyFormat
        ) {
            (self.target, self.source, destination, self.format) = (target, source, path, format)
            sourceName = name ?? source.path
        }
    }

    /// Bytes that the flat image takes at most, its holes left out.
    func measure(_ work: Work, virtualSize: Int64) async throws(Failure) -> Int64 {
        let what = "cannot measure \(work.sourceName)"
        // Of a raw image it tells the length, whatever the holes.
        let result = try await run(
            qemuImg, ["measure", "--output=json", "-f", work.source.format, "-O", "qcow2", "--", work.source.path], what
        )
        guard let required = (try? JSONValue(parsing: result.output))?["required"]?.integer else {
            throw Failure(.internalError, "\(what): qemu-img's answer is not understood")
        }
        return work.format == .raw ? min(required, virtualSize) : required
    }

    /// Makes the destination, flat, synced, the caller's alone.
    func convert(_ work: Work, _ step: CopyProgress.Step) async throws(Failure) {
        var arguments = ["convert", "-p", "-f", work.source.format, "-O", work.format.rawValue]
        if work.isCompressed { arguments += ["-c", "-o", "compression_type=zstd"] }
        if let bandwidth = work.bandwidth { arguments += ["-r", "\(bandwidth)"] }
        try await watch(
            arguments + ["--", work.source.path, work.destination], work, step,
            "cannot copy \(work.sourceName) to \(work.destination)", else: .refused)
        try explaining("cannot sync \(work.destination)", else: .refused) { () throws(Errno) in
            let file = try OpenFile(posix { open(work.destination, O_RDWR | O_CLOEXEC | O_NOFOLLOW) })
            try posix { fchmod(file.descriptor, 0o600) }
            try file.sync()
            // What is read back afterwards is to come from the disk.
            posix_fadvise(file.descriptor, 0, 0, POSIX_FADV_DONTNEED)
        }
    }

    /// - Throws: `.verificationFailed` if a guest would not read the same from both.
    func compare(_ work: Work) async throws(Failure) {
        try await watch(
            [
                "compare", "-p", "-f", work.source.format, "-F", work.format.rawValue, "--", work.source.path,
                work.destination,
            ], work, .comparing, "the copy of \(work.target) is not what \(work.sourceName) is",
            else: .verificationFailed)
    }

    /// SHA-256 of a file, as 64 hexadecimal digits.
    func digest(
        of path: String, _ what: String, _ target: DiskTarget? = nil, _ step: CopyProgress.Step = .summing
    ) async throws(Failure) -> String {
        if let target { tell(CopyProgress(target, step)) }
        let result = try await run(sha256sum, ["--", path], "cannot read \(what)")
        let digest = String(decoding: result.output.drop { $0 == UInt8(ascii: "\\") }.prefix(64), as: UTF8.self)
        guard digest.utf8.count == 64 else {
            throw Failure(.internalError, "cannot read \(what): sha256sum's answer is not understood")
        }
        return digest
    }

    private func watch(
        _ arguments: [String], _ work: Work, _ step: CopyProgress.Step, _ what: String, else status: ExitStatus
    ) async throws(Failure) {
        let words = Mutex("")
        tell(CopyProgress(work.target, step, of: work.total))
        _ = try await run(qemuImg, arguments, what, else: status) { [tell] piece in
            let percent = words.withLock { words in
                words = String((words + String(decoding: piece, as: UTF8.self)).suffix(64))
                return Self.percent(in: words)
            }
            guard let percent else { return }
            tell(CopyProgress(work.target, step, done: UInt64(Double(work.total) * percent / 100), of: work.total))
        }
    }

    /// The last one that was told whole, 0 to 100: `(12.34/100%)` and a carriage return, again and again.
    static func percent(in text: String) -> Double? {
        let told = text.split(separator: "(").last { $0.contains("/100%") }
        return told.flatMap { Double($0.prefix { $0 != "/" }) }.map { min(max($0, 0), 100) }
    }

    private func run(
        _ tool: Tool, _ arguments: [String], _ what: String, else status: ExitStatus = .refused,
        hearing listener: (@Sendable ([UInt8]) -> Void)? = nil
    ) async throws(Failure) -> ToolResult {
        if let status = interruption.status { throw Failure(status, "\(what): interrupted") }
        let work = Task {
            let deadline = ContinuousClock.now + Self.patience
            guard let listener else { return try await tool.run(arguments, deadline: deadline) }
            return try await tool.run(arguments, hearing: listener, deadline: deadline)
        }
        let watch = Task { [interruption] in
            while !Task.isCancelled, interruption.status == nil { try await Task.sleep(for: .milliseconds(50)) }
            if interruption.status != nil { work.cancel() }
        }
        let ended = await work.result
        watch.cancel()
        if let status = interruption.status { throw Failure(status, "\(what): interrupted") }
        switch ended {
        case .success(let result):
            if result.succeeded { return result }
            if String(decoding: result.errors, as: UTF8.self).contains("No space left on device") {
                throw Failure(.noSpace, what, else: .refused)
            }
            // `compare` tells on standard output what differs, and by its status 1 that something does.
            throw Failure(status, what + (result.errors.isEmpty ? "" : ": \(result.reason)"))
        case .failure(let error as ToolError): throw Failure(error, what)
        case .failure(let error): throw Failure(.internalError, "\(what): \(error)")
        }
    }
}
