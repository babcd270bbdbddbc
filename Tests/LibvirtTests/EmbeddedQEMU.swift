// SPDX-License-Identifier: Apache-2.0

import Foundation
import Libvirt

/// A real QEMU, emulated, under libvirt's driver in this very process (`qemu:///embed`): no daemon, nothing of the
/// host's. The guest has two small disks, an agent channel nobody opens, and no operating system.
struct EmbeddedQEMU {
    let guest: Domain
    private let folder: URL

    /// The one driver a process can embed, nil where that or QEMU is not to be had: it takes root.
    static let connection: Connection? = {
        guard geteuid() == 0, [emulator, imageTool].allSatisfy(FileManager.default.isExecutableFile(atPath:)) else {
            return nil
        }
        // A process has one embedded driver, in one folder, until it ends.
        atexit { try? FileManager.default.removeItem(at: EmbeddedQEMU.root) }
        let configuration = root.appendingPathComponent("etc/qemu.conf")
        // Without what a container or a host without a running libvirt lacks.
        let settings = """
            stdio_handler = "file"
            security_driver = "none"
            user = "root"
            group = "root"
            remember_owner = 0
            namespaces = []
            cgroup_controllers = []
            """
        do {
            try FileManager.default.createDirectory(
                at: configuration.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(settings.utf8).write(to: configuration)
            return try Connection(uri: "qemu:///embed?root=\(root.path)")
        } catch {
            return nil
        }
    }()

    private static let root = FileManager.default.temporaryDirectory.appendingPathComponent("embed-\(getpid())")
    private static let emulator = "/usr/bin/qemu-system-x86_64"
    private static let imageTool = "/usr/bin/qemu-img"

    /// Runs `body` with the guest running, or paused, and takes everything away afterwards.
    static func run(paused: Bool = false, _ body: (EmbeddedQEMU) async throws -> Void) async throws {
        guard let connection else { return }
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("guest-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for disk in ["vda", "vdb"] {
            try image(["create", "-q", "-f", "qcow2", folder.appendingPathComponent("\(disk).base").path, "16M"])
        }
        let guest = try connection.define(xml: xml(folder))
        defer { try? guest.undefine() }
        try guest.create(paused: paused)
        defer { try? guest.destroy() }
        try await body(EmbeddedQEMU(guest: guest, folder: folder))
    }

    func base(_ disk: String) -> String { folder.appendingPathComponent("\(disk).base").path }
    func overlay(_ disk: String) -> String { folder.appendingPathComponent("\(disk).overlay").path }

    /// Cuts both disks over to overlays made beforehand.
    func cut() throws {
        var disks = ""
        for disk in ["vda", "vdb"] {
            try Self.image(["create", "-q", "-f", "qcow2", "-b", base(disk), "-F", "qcow2", overlay(disk)])
            disks += """
                <disk name='\(disk)' snapshot='external'>
                  <driver type='qcow2'/><source file='\(overlay(disk))'/>
                </disk>
                """
        }
        try guest.createSnapshot(
            xml: "<domainsnapshot><name>cut</name><disks>\(disks)</disks></domainsnapshot>",
            [.diskOnly, .atomic, .reuseExternal, .noMetadata])
    }

    /// The files QEMU itself has open as images.
    func graph() throws -> String {
        try guest.monitorCommand(#"{"execute":"query-named-block-nodes","arguments":{"flat":true}}"#)
    }

    private static func image(_ arguments: [String]) throws {
        let process = try Process.run(URL(fileURLWithPath: imageTool), arguments: arguments)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw ImageToolFailed(arguments: arguments) }
    }

    private struct ImageToolFailed: Error {
        let arguments: [String]
    }

    private static func xml(_ folder: URL) -> String {
        let disks = ["vda", "vdb"].map { disk in
            """
            <disk type='file' device='disk'>
              <driver name='qemu' type='qcow2'/>
              <source file='\(folder.appendingPathComponent("\(disk).base").path)'/>
              <target dev='\(disk)' bus='virtio'/>
            </disk>
            """
        }
        return """
            <domain type='qemu'>
              <name>embedded</name>
              <memory unit='MiB'>32</memory>
              <os><type arch='x86_64' machine='pc'>hvm</type></os>
              <devices>
                <emulator>\(emulator)</emulator>
                \(disks.joined())
                <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
              </devices>
            </domain>
            """
    }
}
