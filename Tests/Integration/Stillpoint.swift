// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// The built command, with a state folder of its own.
struct Stillpoint: Sendable {
    let binary: String
    let state: String
    /// What a command may take under load, on an emulated guest.
    static let longest = Duration.seconds(300)

    init() throws {
        let beside = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let environment = ProcessInfo.processInfo.environment["STILLPOINT_BINARY"]
        binary = environment ?? (beside as NSString).deletingLastPathComponent + "/stillpoint"
        let isThere = FileManager.default.isExecutableFile(atPath: binary)
        try #require(isThere, "\(binary): swift build --product stillpoint")
        state = try Place.makeFolder()
    }

    func run(
        _ arguments: [String], within limit: Duration = Self.longest, interrupt: Program.Interruption? = nil
    ) async throws -> Program.Ended {
        try await Program.run(binary, ["--state-dir", state] + arguments, within: limit, interrupt: interrupt)
    }

    /// Nothing on the host remembers that guest.
    func forget(_ uuid: String) {
        let files = FileManager.default
        try? files.removeItem(atPath: state)
        try? files.removeItem(atPath: "/run/stillpoint/lock/\(uuid)")
        for folder in ["/run/stillpoint/lock", "/run/stillpoint"] { rmdir(folder) }
    }
}
