// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// The built command, run as a user runs it, with a state folder and a home of its own.
struct Command {
    struct Result {
        var status: Int32
        var output: String
        var errors: String

        /// What a failure ends with: its cause.
        var cause: String { errors.split(separator: "\n").last.map(String.init) ?? "" }

        func object() throws -> [String: Any] {
            try #require(try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any])
        }
    }

    /// Nothing answers there, and nothing is changed.
    static let nowhere = "qemu+unix:///system?socket=/nonexistent/socket"

    let folder = FileManager.default.temporaryDirectory.appending(path: "stillpoint-\(UUID().uuidString)")

    /// Beside the test bundle.
    private static var binary: URL {
        URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
            .appending(path: "stillpoint")
    }

    func callAsFunction(_ arguments: String...) throws -> Result { try run(arguments) }

    func run(_ arguments: [String]) throws -> Result {
        try run(through: Self.binary, arguments)
    }

    /// `sh -c`, with the command as `$S`.
    func shell(_ script: String) throws -> Result { try run(through: URL(filePath: "/bin/sh"), ["-c", script]) }

    private func run(through program: URL, _ arguments: [String]) throws -> Result {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (output, errors) = (folder.appending(path: "out"), folder.appending(path: "err"))
        for file in [output, errors] { try Data().write(to: file) }
        let process = Process()
        process.executableURL = program
        process.arguments = arguments
        process.environment = [
            "PATH": "/usr/bin:/bin", "HOME": folder.path, "XDG_STATE_HOME": folder.path, "S": Self.binary.path,
            "LIBVIRT_DEFAULT_URI": Self.nowhere, "D": folder.path,
        ]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: output)
        process.standardError = try FileHandle(forWritingTo: errors)
        try process.run()
        process.waitUntilExit()
        return Result(
            status: process.terminationStatus, output: try String(contentsOf: output, encoding: .utf8),
            errors: try String(contentsOf: errors, encoding: .utf8))
    }
}
