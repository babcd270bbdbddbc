// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

extension BareDomain {
    /// Fills 64 KiB of a disk with a number, through QEMU's own block layer as a guest would.
    func write(_ pattern: Int, to disk: Int, at kibibytes: Int = 0) async throws {
        let device = "/machine/peripheral/virtio-disk\(disk)/virtio-backend"
        try await Virsh.run(
            "qemu-monitor-command", uuid, "--hmp",
            "qemu-io -d \(device) \"write -P \(pattern) \(kibibytes)k 64k\"")
    }

    /// Whether the guest would read that number there.
    func reads(_ pattern: Int, from target: String, at kibibytes: Int = 0) async throws -> Bool {
        let image = try #require(try await Virsh.disks(of: uuid, saved: true)[target])
        let ended = try await Program.run(
            "qemu-io", ["-U", "-r", "-f", "qcow2", "-c", "read -P \(pattern) \(kibibytes)k 64k", image])
        return ended.exit == 0 && !ended.output.contains("failed")
    }

    var state: String {
        get async throws { try await Virsh.run("domstate", uuid) }
    }

    /// Image files in its folder.
    var images: Set<String> {
        Set((try? FileManager.default.contentsOfDirectory(atPath: folder))?.filter { $0 != "domain.xml" } ?? [])
    }
}
