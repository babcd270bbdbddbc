// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

/// One frozen image, copied flat by qemu-img and looked into with the filesystem's own tools.
struct FrozenImage: Sendable {
    let target: String
    let image: String
    let format: String

    /// Those of a run's report.
    static func all(of report: JSONValue) throws -> [FrozenImage] {
        let disks = try #require(report["members"]?.array?.first?["snapshot"]?["disks"]?.array)
        return try disks.map { disk in
            FrozenImage(
                target: try #require(disk["target"]?.string), image: try #require(disk["frozenImage"]?.string),
                format: try #require(disk["format"]?.string))
        }
    }

    static func one(_ target: String, of report: JSONValue) throws -> FrozenImage {
        try #require(try all(of: report).first { $0.target == target })
    }

    /// Its content as a raw file in `folder`.
    func flat(in folder: String) async throws -> String {
        let file = "\(folder)/\(target).raw"
        try await Program.succeed("qemu-img", "convert", "-f", format, "-O", "raw", "--", image, file)
        return file
    }

    /// Whether the ext4 that begins after that many MiB says that its journal has to be replayed.
    func needsRecovery(at start: Int = 0) async throws -> Bool {
        try await Place.withFolder { folder in
            let head = "\(folder)/head"
            let filesystem = "\(folder)/filesystem"
            try await Program.succeed(
                "qemu-img", "dd", "-f", format, "-O", "raw", "bs=1M", "count=\(start + 2)", "if=\(image)", "of=\(head)")
            try await Program.succeed("dd", "if=\(head)", "of=\(filesystem)", "bs=1M", "skip=\(start)", "status=none")
            let words = try await Program.succeed("tune2fs", "-l", filesystem)
            let features = try #require(words.split(separator: "\n").first { $0.hasPrefix("Filesystem features:") })
            return features.contains("needs_recovery")
        }
    }

    /// A file of the ext4 that fills the disk, which has to be clean once its journal is replayed and its orphans are gone.
    func file(_ path: String, in folder: String) async throws -> Data {
        let raw = try await flat(in: folder)
        defer { try? FileManager.default.removeItem(atPath: raw) }
        let preened = try await Program.run("e2fsck", ["-p", raw])
        try #require(preened.exit & ~1 == 0, "\(preened)")
        try await Program.succeed("e2fsck", "-fn", raw)
        let copy = "\(folder)/\(target).file"
        try await Program.succeed("debugfs", "-R", "dump \(path) \(copy)", raw)
        return try #require(FileManager.default.contents(atPath: copy))
    }
}
