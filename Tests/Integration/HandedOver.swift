// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// A domain without a guest in it, whose first disk begins with 64 KiB of 0x11.
enum HandedOver {
    static let head = Data(repeating: 17, count: 64 << 10)

    /// Runs `body` on it, and finds afterwards that nothing of any snapshot is left.
    static func with(_ body: (BareDomain) async throws -> Void) async throws {
        let folder = try Place.makeFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        chmod(folder, 0o755)
        let image = "\(folder)/one.qcow2"
        try await Program.succeed("qemu-img", "create", "-q", "-f", "qcow2", image, "16M")
        try await Program.succeed("qemu-io", "-c", "write -P 17 0 64k", image)
        try await BareDomain.with(images: [image, "two.qcow2"]) { domain in
            let before = try await Virsh.disks(of: domain.name)
            do { try await body(domain) } catch {
                // What serves the disks goes on by itself.
                for process in Processes.naming(domain.stillpoint.state) {
                    if let pid = pid_t(process.prefix { $0 != " " }) { kill(pid, SIGTERM) }
                }
                throw error
            }
            #expect(try await Virsh.disks(of: domain.name) == before)
            #expect(try await Virsh.disks(of: domain.name, saved: true) == before)
            #expect(try await Virsh.snapshots(of: domain.name).isEmpty)
            #expect(Processes.naming(domain.stillpoint.state).isEmpty)
            let shown = try? FileManager.default.contentsOfDirectory(atPath: "\(domain.stillpoint.state)/export")
            #expect(shown ?? [] == [])
            let files = try FileManager.default.contentsOfDirectory(atPath: folder)
            #expect(files == ["one.qcow2"])
        }
    }

    /// The same with its snapshot `s1`, which is committed afterwards.
    static func withSnapshot(_ body: (BareDomain) async throws -> Void) async throws {
        try await with { domain in
            let taken = try await domain.stillpoint("snapshot", domain.name, "--no-freeze", "--name", "s1")
            #expect(taken.exit == 0, "\(taken)")
            try await body(domain)
            #expect(try await domain.stillpoint("commit", domain.name).exit == 0)
        }
    }

    static func head(of file: String) throws -> Data {
        let handle = try #require(FileHandle(forReadingAtPath: file))
        defer { try? handle.close() }
        return try handle.read(upToCount: 64 << 10) ?? Data()
    }
}
