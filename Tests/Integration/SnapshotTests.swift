// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

extension Lab {
    /// Databases on four disks and a scratch disk, all ext4, under write load.
    @Suite("a guest with databases under write load", .guest(.base), .nothingLeft)
    struct Base {
        /// Target and mount point of the disks that get a snapshot; vda has partitions, the others have none.
        private static let data = ["vdb": "/var/lib/postgresql", "vdc": "/var/lib/mysql", "vdd": "/srv/data"]

        @Test("a snapshot under load is frozen on every image, whole after the merge, and costs no acknowledged row")
        func frozenSnapshot() async throws {
            let guest = try LabGuest.current
            try await Program.succeed(LabGuest.lab, "load", guest.name, "start")
            let sums = try await pattern(in: guest, Self.data.values.sorted())
            let scratch = try await untouched("vde", of: guest)

            let taken = try await guest.stillpoint(
                "snapshot", guest.name, "--exclude", "vde", "--name", "frozen", "--json", "--max-freeze", "20s")
            let report = try taken.json
            try #require(taken.exit == 0, "\(taken)")
            #expect(report["schema"] == "stillpoint.run/v1")
            #expect(report["exit"] == 0)
            #expect(report["required"] == "application" && report.consistency == "application")
            #expect(report.reasons.isEmpty)
            #expect(report.applications == ["postgresql", "mysql", "redis", "sqlite"])
            #expect(report.member?["deadMan"] == "armed" && report.member?["guardian"] == "armed")
            #expect(report.targets == ["vda", "vdb", "vdc", "vdd"])
            #expect(report.frozen == 4 && report.expected == 4 && report.thawed == 4)
            #expect(report.member?["snapshot"]?["excluded"]?.array?.first?["target"] == "vde")
            #expect(report.member?["verification"]?["chain"]?["result"] == "ok")
            #expect(report.member?["verification"]?["filesystem"]?["result"] == "ok")
            #expect(
                report.member?["phases"]?.array?.compactMap { $0["name"]?.string }
                    == [
                        "preflight", "stage", "prepare", "pre-freeze", "freeze", "cut", "thaw", "post-thaw", "register",
                        "verify",
                    ])
            #expect(try await untouched("vde", of: guest) == scratch)

            #expect(try await Virsh.snapshots(of: guest.name) == ["frozen"])
            let xml = try await Virsh.run("snapshot-dumpxml", guest.name, "frozen")
            let seconds = try #require(report["cut"]?["at"]?.string.flatMap(Self.seconds))
            #expect(xml.contains("<creationTime>\(seconds)</creationTime>"))
            #expect(xml.contains("<state>disk-snapshot</state>") && xml.contains("<domain type="))
            #expect(!xml.contains("<parent>"))

            for image in try FrozenImage.all(of: report) {
                #expect(try await image.needsRecovery(at: Self.start(image)) == false, "\(image.target)")
                guard let mountpoint = Self.data[image.target] else { continue }
                try await Place.withFolder { folder in
                    let file = try await image.file("/pattern", in: folder)
                    let copy = "\(folder)/pattern"
                    try file.write(to: URL(filePath: copy))
                    let sum = try await Program.succeed("sha256sum", copy).prefix(64)
                    #expect(String(sum) == sums[mountpoint], "\(image.target)")
                }
            }
            let verified = try await guest.stillpoint("verify", guest.name, "frozen", "--json")
            #expect(verified.exit == 0, "\(verified)")
            #expect(try verified.json["filesystem"]?["detail"] == "4/4 clean")

            let committed = try await guest.stillpoint("commit", guest.name, "frozen")
            #expect(committed.exit == 0, "\(committed)")
            #expect(try await Virsh.snapshots(of: guest.name).isEmpty)
            #expect(report.overlays.allSatisfy { !FileManager.default.fileExists(atPath: $0) })
            #expect(try await hashes(in: guest, Self.data.values.sorted()) == sums)
            try await expectNoRowLost(guest)
        }

        @Test("without a freeze the snapshot says crash, the images need recovery, and verify says that it fails")
        func crashSnapshot() async throws {
            let guest = try LabGuest.current
            let taken = try await guest.stillpoint(
                "snapshot", guest.name, "--exclude", "vde", "--no-freeze", "--name", "crash", "--json")
            let report = try taken.json
            #expect(taken.exit == 0, "\(taken)")
            #expect(report.consistency == "crash" && report["required"] == "crash")
            #expect(report.reasons == ["not frozen: --no-freeze"])
            for image in try FrozenImage.all(of: report) {
                #expect(try await image.needsRecovery(at: Self.start(image)), "\(image.target)")
            }
            #expect(try await guest.stillpoint("verify", guest.name, "crash").exit == 0)
            let verified = try await guest.stillpoint(
                "verify", guest.name, "crash", "--level", "filesystem", "--json")
            #expect(verified.exit == 24, "\(verified)")
            #expect(verified.lastLine.contains("not frozen when the cut was made"), "\(verified)")
            #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
            try await expectNoRowLost(guest)
            try await Program.succeed(LabGuest.lab, "load", guest.name, "stop")
        }

        /// In MiB: vda has a partition, the others have none.
        private static func start(_ image: FrozenImage) -> Int { image.target == "vda" ? 1 : 0 }

        /// A file of random bytes in each place, and its checksum.
        private func pattern(in guest: LabGuest, _ places: [String]) async throws -> [String: String] {
            for place in places {
                try await guest.sh("head -c 1048576 /dev/urandom >\"$1/pattern\" && sync -f \"$1\"", place)
            }
            return try await hashes(in: guest, places)
        }

        /// As the disks have it: nothing comes from the guest's page cache.
        private func hashes(in guest: LabGuest, _ places: [String]) async throws -> [String: String] {
            var sums: [String: String] = [:]
            for place in places {
                sums[place] = String(
                    try await guest.sh("echo 3 >/proc/sys/vm/drop_caches; sha256sum \"$1/pattern\"", place).prefix(64))
            }
            return sums
        }

        /// Everything about a disk that a snapshot of the others must leave alone.
        private func untouched(_ target: String, of guest: LabGuest) async throws -> [String] {
            try await guest.sh("sync")
            let image = try #require(guest.disks[target])
            let map = try await Program.succeed("qemu-img", "map", "-U", "--output", "json", image)
            let xml = try await Virsh.run("dumpxml", guest.name, "--xpath", "//disk[target/@dev='\(target)']")
            return [try #require(try await Virsh.disks(of: guest.name)[target]), map, xml]
        }

        /// Every row that an engine has acknowledged is there, and none is missing in between.
        private func expectNoRowLost(_ guest: LabGuest) async throws {
            let acknowledged = try await table(guest, "report")
            let rows = try await table(guest, "check")
            #expect(rows.count == 4)
            for (engine, numbers) in rows {
                try #require(numbers.count == 3)
                #expect(numbers[0] == numbers[2] - numbers[1] + 1, "\(engine): \(numbers)")
                #expect(numbers[2] >= acknowledged[engine]?.first ?? .max, "\(engine): \(numbers)")
                #expect(numbers[0] > 0, "\(engine) has written nothing")
            }
        }

        private func table(_ guest: LabGuest, _ verb: String) async throws -> [String: [Int]] {
            let text = try await Program.succeed(LabGuest.lab, "load", guest.name, verb)
            return text.split(separator: "\n").reduce(into: [:]) { table, line in
                let words = line.split(separator: " ")
                table[words.first.map(String.init) ?? ""] = words.dropFirst().compactMap { Int($0) }
            }
        }

        private static func seconds(_ text: String) -> Int? {
            let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
            return (try? Date(text, strategy: style)).map { Int($0.timeIntervalSince1970) }
        }
    }
}
