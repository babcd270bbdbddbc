// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON

/// What libvirt's own shell says: a source that shares nothing with the command under test.
enum Virsh {
    @discardableResult
    static func run(_ arguments: String...) async throws -> String {
        let ended = try await Program.run("virsh", ["--quiet"] + arguments, within: .seconds(60))
        guard ended.exit == 0 else { throw Program.Failed(ended: ended) }
        return ended.text
    }

    /// Target and active image of each disk.
    static func disks(of domain: String, saved: Bool = false) async throws -> [String: String] {
        let table = try await run("domblklist", domain, saved ? "--inactive" : "--details")
        var disks: [String: String] = [:]
        for line in table.split(separator: "\n") {
            // With --details type and device stand in front.
            let words = line.split(separator: " ", maxSplits: saved ? 1 : 3).map {
                $0.trimmingCharacters(in: .whitespaces)
            }
            guard let image = words.last, words.count >= 2 else { continue }
            disks[words[words.count - 2]] = image
        }
        return disks
    }

    static func snapshots(of domain: String) async throws -> [String] {
        try await run("snapshot-list", domain, "--name").split(separator: "\n").map(String.init)
    }

    /// The agent's reply to a raw request.
    static func agent(_ domain: String, _ request: String) async throws -> JSONValue {
        try JSONValue(parsing: try await run("qemu-agent-command", domain, "--timeout", "20", request))
    }
}
