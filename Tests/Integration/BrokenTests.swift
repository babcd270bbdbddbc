// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

/// Snapshots that are broken on purpose. Takes a quarter of an hour, so it wants `STILLPOINT_RESTORES` above 1.
extension Lab.Base {
    private static let isWanted =
        (ProcessInfo.processInfo.environment["STILLPOINT_RESTORES"].flatMap(Int.init) ?? 1) > 1

    @Test(
        "a flipped page, a disk from another moment and a truncated image are found, each by its check",
        .enabled(if: isWanted, "takes a quarter of an hour: set STILLPOINT_RESTORES above 1"))
    func broken() async throws {
        let guest = try LabGuest.current
        try await Program.succeed(LabGuest.lab, "load", guest.name, "start")
        // Not the load's: what is written after the checkpoint is in the log too, which mends the page or cannot be replayed.
        let table = try await guest.sh(
            """
            cd / && runuser -u postgres -- psql -qAt \
                -c 'CREATE TABLE flipped AS SELECT generate_series(1, 1000)' -c 'VACUUM (FREEZE) flipped' \
                -c "SELECT pg_relation_filepath('flipped')" | sed 's,^,/15/main/,'
            """)
        let taken = try await guest.stillpoint("snapshot", guest.name, "--json")
        try #require(taken.exit == 0, "\(taken)")
        // Rows that the snapshot does not have, and then nobody has the images open.
        try await Program.succeed("sleep", "5")
        try await Virsh.run("destroy", guest.name)
        let result: Result<Void, any Error>
        do {
            let frozen = Dictionary(
                uniqueKeysWithValues: try FrozenImage.all(of: try taken.json).map { ($0.target, $0.image) })
            let overlays = try await Virsh.disks(of: guest.name, saved: true)
            try await breaking(try #require(frozen["vdb"])) { image in
                try await flipPage(of: table, in: image)
                try await expectFound(guest, by: ["application": "pg_amcheck"])
            }
            let (late, overlay) = (try #require(frozen["vdc"]), try #require(overlays["vdc"]))
            try await breaking(late, overlay) { _ in
                // Merged behind everybody's back, by a tool that leaves the emptied overlay in place.
                try await Program.succeed("qemu-img", "commit", "-q", overlay)
                try await expectFound(guest, by: ["filesystem": "not frozen", "application": "mysql"])
            }
            try await breaking(try #require(frozen["vdd"])) { image in
                try await Program.succeed("truncate", "-s", "-1M", image)
                try await expectFound(guest, by: ["chain": "vdd"])
            }
            #expect(try await guest.stillpoint("verify", guest.name).exit == 0)
            result = .success(())
        } catch {
            result = .failure(error)
        }
        try await Virsh.run("start", guest.name)
        try await guest.awaitAgent()
        #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
        try result.get()
    }

    /// Runs `body` on these images, which are afterwards as they were.
    private func breaking(_ images: String..., by body: (String) async throws -> Void) async throws {
        let kept = try Place.makeFolder(in: "/var/tmp")
        defer { try? FileManager.default.removeItem(atPath: kept) }
        for (index, image) in images.enumerated() {
            try await Program.succeed("cp", "--sparse=always", "--", image, "\(kept)/\(index)")
        }
        let result: Result<Void, any Error>
        do { result = .success(try await body(try #require(images.first))) } catch { result = .failure(error) }
        for (index, image) in images.enumerated() {
            // Its content alone: owner and mode stay.
            try await Program.succeed("bash", "-c", "cat <\"$1\" >\"$2\"", "bash", "\(kept)/\(index)", image)
        }
        try result.get()
    }

    /// The first page of that file of PostgreSQL's, in the filesystem that the image holds.
    private func flipPage(of file: String, in image: String) async throws {
        let flat = "\(image).flat"
        defer { unlink(flat) }
        try await Program.succeed("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, flat)
        let size = try await Program.succeed(
            "bash", "-c", "dumpe2fs -h \"$1\" 2>/dev/null | sed -n 's/^Block size: *//p'", "bash", flat)
        let blocks = try await Program.succeed("debugfs", "-R", "blocks \(file)", flat)
        let first = try #require(blocks.split(separator: " ").first.flatMap { Int($0) }, "\(file): \(blocks)")
        let offset = first * (try #require(Int(size)))
        try await Program.succeed("qemu-io", "-f", "qcow2", "-c", "write -P 0xff \(offset) 4k", image)
    }

    private func expectFound(_ guest: LabGuest, by checks: [String: String]) async throws {
        let verified = try await guest.stillpoint(
            "verify", guest.name, "--level", "application", "--json", within: .seconds(650))
        #expect(verified.exit == 24, "\(verified)")
        let report = try verified.json
        for (check, words) in checks {
            let detail = report[check]?["detail"]?.string ?? ""
            #expect(report[check]?["result"] == "failed" && detail.contains(words), "\(check): \(verified)")
            print("broken: found by \(check): \(detail)")
        }
    }
}
