// SPDX-License-Identifier: Apache-2.0

import Foundation

@testable import QuiesceKVM

/// A folder for one test, with the tools that make disks; gone when the test ends.
struct Bench: Sendable {
    let folder: String

    static func with(_ body: (Bench) async throws -> Void) async throws {
        let folder = NSTemporaryDirectory() + "verification-test-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let bench = Bench(folder: folder)
        try FileManager.default.createDirectory(atPath: bench.scratch, withIntermediateDirectories: false)
        try await body(bench)
    }

    var scratch: String { "\(folder)/scratch" }
    var leftInScratch: [String] { (try? FileManager.default.contentsOfDirectory(atPath: scratch)) ?? ["?"] }

    func path(_ name: String) -> String { "\(folder)/\(name)" }

    struct Failed: Error { let words: String }

    @discardableResult
    func tool(_ name: String, _ arguments: String...) async throws -> String {
        let result = try await Tool(name, package: "?").run(arguments, deadline: .now + .seconds(300))
        guard result.succeeded else { throw Failed(words: "\(name): \(result.reason)") }
        return String(decoding: result.output, as: UTF8.self)
    }

    /// A sparse file.
    @discardableResult
    func blank(_ name: String, megabytes: Int) throws -> String {
        try write([], to: name, at: UInt64(megabytes) << 20)
        return path(name)
    }

    func write(_ bytes: [UInt8], to name: String, at offset: UInt64) throws {
        if !FileManager.default.fileExists(atPath: path(name)) {
            _ = FileManager.default.createFile(atPath: path(name), contents: nil)
        }
        guard let file = FileHandle(forUpdatingAtPath: path(name)) else { throw Failed(words: "open \(name)") }
        defer { try? file.close() }
        if bytes.isEmpty {
            try file.truncate(atOffset: offset)
        } else {
            try file.seek(toOffset: offset)
            try file.write(contentsOf: bytes)
        }
    }

    func bytes(of name: String, at offset: UInt64, count: Int) throws -> [UInt8] {
        guard let file = FileHandle(forReadingAtPath: path(name)) else { throw Failed(words: "open \(name)") }
        defer { try? file.close() }
        try file.seek(toOffset: offset)
        return try [UInt8](file.read(upToCount: count) ?? Data())
    }

    /// Copies a file, or a part of it, into another one at an offset.
    func lay(
        _ source: String, into target: String, at offset: UInt64, from: Int = 0, count: Int? = nil
    ) async throws {
        let part = count.map { ["count=\($0)"] } ?? []
        let arguments =
            ["if=\(path(source))", "of=\(path(target))", "bs=64K", "conv=notrunc,sparse", "status=none"]
            + ["iflag=skip_bytes,count_bytes", "oflag=seek_bytes", "skip=\(from)", "seek=\(offset)"] + part
        let result = try await Tool("dd", package: "coreutils").run(arguments, deadline: .now + .seconds(300))
        guard result.succeeded else { throw Failed(words: result.reason) }
    }

    /// Writes a partition table with sfdisk(8), from a script in its own language.
    func partition(_ name: String, _ script: String) async throws {
        try write(Array(script.utf8), to: "\(name).sfdisk", at: 0)
        // sfdisk reads its script from standard input, which our tools do not have.
        try await tool(
            "sh", "-c", "exec sfdisk -q --no-reread --no-tell-kernel \"$1\" <\"$2\"", "sh", path(name),
            path("\(name).sfdisk"))
    }

    /// An ext4 with a few files in it.
    func ext4(_ name: String, megabytes: Int = 16, _ options: String...) async throws {
        try blank(name, megabytes: megabytes)
        let tree = path("tree-\(name)")
        try FileManager.default.createDirectory(atPath: "\(tree)/a/b", withIntermediateDirectories: true)
        try Data(repeating: 7, count: 300_000).write(to: URL(fileURLWithPath: "\(tree)/a/b/file"))
        let arguments = ["-q", "-F", "-t", "ext4", "-d", tree] + options + [path(name)]
        let result = try await Tool("mke2fs", package: "e2fsprogs").run(arguments, deadline: .now + .seconds(300))
        guard result.succeeded else { throw Failed(words: result.reason) }
    }

    func qcow2(_ name: String, from source: String) async throws {
        try await tool("qemu-img", "convert", "-f", "raw", "-O", "qcow2", path(source), path(name))
    }

    func check(
        _ images: (target: String, name: String, format: String)..., depth: ImageCheck.Depth = .full
    ) async throws -> [FilesystemFinding] {
        let frozen = images.map { FrozenImage(target: $0.target, path: path($0.name), format: $0.format) }
        return try await ImageCheck(images: frozen, scratch: scratch).run(depth: depth, deadline: .now + .seconds(120))
    }
}
