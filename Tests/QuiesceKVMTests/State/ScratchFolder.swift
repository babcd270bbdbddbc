// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Testing

/// A folder of one test, gone with it.
final class ScratchFolder: Sendable {
    let path: String

    init() throws {
        let name = (0..<16).compactMap { _ in "0123456789abcdef".randomElement() }
        path = "/tmp/stillpoint-test-" + String(name)
        try #require(mkdir(path, 0o700) == 0)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func callAsFunction(_ name: String) -> String { path + "/" + name }

    func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: self(name)))
    }

    func text(of name: String) throws -> String { try String(contentsOfFile: self(name), encoding: .utf8) }

    func makeFolder(_ name: String, mode: mode_t = 0o755) throws -> String {
        try #require(mkdir(self(name), mode) == 0 && chmod(self(name), mode) == 0)
        return self(name)
    }

    /// Everything in it, hidden files too.
    var names: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
    }

    func mode(_ name: String) throws -> mode_t { try Self.mode(self(name)) }

    func size(_ name: String) throws -> Int64 {
        var status = stat()
        try #require(lstat(self(name), &status) == 0)
        return Int64(status.st_size)
    }

    static func mode(_ path: String) throws -> mode_t {
        var status = stat()
        try #require(lstat(path, &status) == 0)
        return status.st_mode & 0o7777
    }
}

func exists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
}

/// A filesystem of 64 KiB, mounted while `body` runs.
func onTinyFilesystem(_ body: (String) async throws -> Void) async throws {
    let scratch = try ScratchFolder()
    let place = try scratch.makeFolder("tiny")
    try #require(mount("none", place, "tmpfs", 0, "size=64k,mode=700") == 0)
    do {
        try await body(place)
        umount2(place, CInt(MNT_DETACH))
    } catch {
        umount2(place, CInt(MNT_DETACH))
        throw error
    }
}

let canMount: Bool = {
    guard geteuid() == 0, let scratch = try? ScratchFolder() else { return false }
    guard mount("none", scratch.path, "tmpfs", 0, "size=64k") == 0 else { return false }
    return umount2(scratch.path, CInt(MNT_DETACH)) == 0
}()
