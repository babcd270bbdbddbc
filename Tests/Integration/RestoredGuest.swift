// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

/// A guest of the lab made of a copy: booted without a network, looked into, and gone afterwards.
enum RestoredGuest {
    /// Finds every row in it that was acknowledged before the cut.
    ///
    /// - Parameter lendsKernel: from a folder that holds none: what `run` shows are the disks alone, and the lab's guests
    ///   boot from a kernel beside them.
    /// - Returns: `restore`'s report.
    @discardableResult
    static func expect(
        _ acknowledged: [String: Int], from manifest: String, in folder: String, by guest: LabGuest,
        lendsKernel: Bool = false
    ) async throws -> JSONValue {
        // Past the folder's own mode QEMU has to find its images.
        chmod(folder, 0o711)
        let name = "\(Place.guestPrefix)-back"
        let restored = try await guest.stillpoint(
            "restore", manifest, "--as", name, "--to", "\(folder)/guest", "--json", within: .seconds(600))
        try #require(restored.exit == 0, "\(restored)")
        let result: Result<JSONValue, any Error>
        do {
            #expect(try await !Virsh.run("dumpxml", name).contains("<interface"))
            if lendsKernel { try await lendKernel(of: guest.name, to: name, in: folder) }
            try await boot(name)
            let present = try await Rows.present(in: name)
            for (engine, number) in acknowledged {
                #expect(try #require(present[engine]) >= number, "\(engine): acknowledged \(number)")
            }
            result = .success(try restored.json)
        } catch {
            result = .failure(error)
        }
        _ = try? await Virsh.run("destroy", name)
        try await Virsh.run("undefine", name)
        return try result.get()
    }

    private static func lendKernel(of guest: String, to name: String, in folder: String) async throws {
        let restored = try await Virsh.run("dumpxml", "--inactive", name)
        let lent = try await Virsh.run("dumpxml", guest).split(separator: "\n").filter { line in
            ["<kernel>", "<initrd>", "<cmdline>"].contains { line.contains($0) && !restored.contains($0) }
        }
        let file = "\(folder)/lent.xml"
        try Data(restored.replacing("</os>", with: lent.joined() + "</os>").utf8).write(to: URL(filePath: file))
        try await Virsh.run("define", file)
    }

    private static func boot(_ name: String) async throws {
        try await Virsh.run("start", name)
        // The lab's own commands work on domains with its mark.
        try await Virsh.run(
            "metadata", name, "https://stillpoint.dev/lab/1", "--key", "lab", "--set", "<lab/>", "--live")
        try await LabGuest.awaitAgent(of: name, within: .seconds(400))
        try await Program.succeed(LabGuest.lab, "exec", name, "--", "systemctl", "start", "lab-base.target")
    }
}
