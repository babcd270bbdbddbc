// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// A domain without an operating system, on images of its own: for everything where no guest has to answer.
struct BareDomain: Sendable {
    let name: String
    let uuid: String
    let folder: String
    let stillpoint: Stillpoint

    /// Runs `body` while the domain does, and leaves nothing of it.
    ///
    /// - Parameters:
    ///   - images: file names below a folder of its own; or absolute paths of images that are there already.
    ///   - others: more devices, as XML; the folder is given.
    static func with(
        named name: String = "\(Place.guestPrefix)-bare", images: [String] = ["one.qcow2", "two.qcow2"],
        size: String = "16M", and others: (String) async throws -> String = { _ in "" }, firmware: String = "",
        running: Bool = true, _ body: (BareDomain) async throws -> Void
    ) async throws {
        try await Program.succeed(LabGuest.lab, "daemons", "start")
        let folder = "/var/tmp/stillpoint-it-\(getpid())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        chmod(folder, 0o755)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let stillpoint = try Stillpoint()
        let uuid = UUID().uuidString.lowercased()
        var disks = ""
        for (index, image) in images.enumerated() {
            let path = image.hasPrefix("/") ? image : "\(folder)/\(image)"
            if !image.hasPrefix("/") {
                try await Program.succeed("qemu-img", "create", "-q", "-f", "qcow2", "--", path, size)
            }
            disks += disk(path, index)
        }
        disks += try await others(folder)
        let definition = "\(folder)/domain.xml"
        try Data(xml(name, uuid, disks, firmware).utf8).write(to: URL(filePath: definition))
        try await Virsh.run("define", definition)
        let result: Result<Void, any Error>
        do {
            if running { try await Virsh.run("start", uuid) }
            result = .success(
                try await body(BareDomain(name: name, uuid: uuid, folder: folder, stillpoint: stillpoint)))
        } catch {
            result = .failure(error)
        }
        _ = try? await Virsh.run("destroy", uuid)
        _ = try? await Virsh.run(
            "undefine", uuid, "--snapshots-metadata", "--checkpoints-metadata", "--managed-save", "--nvram")
        stillpoint.forget(uuid)
        try result.get()
    }

    /// Through QEMU's own block layer, to the first disk, as its guest would.
    func write(_ pattern: String, _ offset: Int, _ length: String) async throws {
        let backend = "/machine/peripheral/virtio-disk0/virtio-backend"
        try await Virsh.run(
            "qemu-monitor-command", uuid, "--hmp", "qemu-io -d \(backend) \"write -P \(pattern) \(offset) \(length)\"")
    }

    func stillpoint(_ arguments: String...) async throws -> Program.Ended { try await stillpoint.run(arguments) }

    /// A disk with a source of its own kind.
    static func disk(_ target: String, _ kind: String, format: String, _ source: String) -> String {
        """
        <disk type='\(kind)' device='disk'>
          <driver name='qemu' type='\(format)'/>
          \(source)
          <target dev='\(target)' bus='virtio'/>
        </disk>
        """
    }

    private static func disk(_ path: String, _ index: Int) -> String {
        """
        <disk type='file' device='disk'>
          <driver name='qemu' type='qcow2'/>
          <source file='\(escaped(path))'/>
          <target dev='vd\(["a", "b", "c"][index % 3])' bus='virtio'/>
        </disk>
        """
    }

    private static func xml(_ name: String, _ uuid: String, _ disks: String, _ firmware: String) -> String {
        """
        <domain type='qemu'>
          <name>\(escaped(name))</name>
          <uuid>\(uuid)</uuid>
          <memory unit='MiB'>32</memory>
          <os><type arch='x86_64' machine='\(firmware.isEmpty ? "pc" : "q35")'>hvm</type>\(firmware)</os>
          \(firmware.isEmpty ? "" : "<features><acpi/></features>")
          <devices>
            \(disks)
            <controller type='usb' model='none'/>
            <memballoon model='none'/>
          </devices>
        </domain>
        """
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing("'", with: "&apos;")
    }
}
