// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

extension Lab {
    /// vdb XFS, vdc btrfs, vdd and vde one volume group: `lv` striped over both, `lv2` on vdd alone.
    @Suite("a guest with XFS, btrfs and a volume group over two disks", .guest(.storage), .nothingLeft)
    struct Storage {
        @Test("a choice that splits the volume group is refused and names it with the missing disk")
        func splitGroup() async throws {
            let guest = try LabGuest.current
            for (selection, missing) in [
                (["--disk", "vdd"], "vde"), (["--disk", "vde"], "vdd"), (["--exclude", "vde"], "vde"),
                (["--diskspec", "vdd,snapshot=no"], "vdd"),
            ] {
                for freeze in [[], ["--no-freeze"]] {
                    let ended = try await guest.stillpoint.run(["snapshot", guest.name, "--json"] + selection + freeze)
                    try expectFailure(ended, 20, missing, "would be left behind", isJSON: true)
                }
            }
            let plan = try await guest.stillpoint("plan", guest.name, "--disk", "vdd", "--json")
            #expect(plan.exit == 20)
            let texts = try plan.json["findings"]?.array?.compactMap { $0["text"]?.string } ?? []
            #expect(texts.contains { $0.contains("volume group vgdata") && $0.contains("vde") }, "\(texts)")
        }

        @Test("both disks of the group together are frozen, and the volumes in the images are clean")
        func wholeGroup() async throws {
            let guest = try LabGuest.current
            try await write(guest, to: "/srv/lv /srv/lv2")
            let taken = try await guest.stillpoint(
                "snapshot", guest.name, "--disk", "vdd", "--disk", "vde", "--name", "group", "--max-freeze", "20s",
                "--json")
            try await guest.sh("systemctl stop it-write")
            let report = try taken.json
            try #require(taken.exit == 0, "\(taken)")
            #expect(report.member?["freeze"]?["mountpoints"] == ["/srv/lv", "/srv/lv2"])
            #expect(report.frozen == 2 && report.thawed == 2)
            // lv2 was made first: on vdd, behind the physical volume's first MiB.
            #expect(try await FrozenImage.one("vdd", of: report).needsRecovery(at: 1) == false)
            let verified = try await guest.stillpoint("verify", guest.name, "group", "--json")
            #expect(verified.exit == 0, "\(verified)")
            let places = try proofs(verified)
            #expect(places.keys.sorted() == ["vgdata/lv", "vgdata/lv2"])
            for proof in places.values {
                #expect(proof["kind"] == "ext4" && proof["frozen"] == true && proof["check"]?["result"] == "ok")
            }
            #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
        }

        @Test("btrfs has no log root when frozen, and XFS is reported as not checked")
        func frozen() async throws {
            let guest = try LabGuest.current
            try await write(guest, to: "/srv/xfs /srv/btrfs")
            let taken = try await guest.stillpoint(
                "snapshot", guest.name, "--disk", "vdb", "--disk", "vdc", "--name", "frozen", "--max-freeze", "20s",
                "--json")
            try await guest.sh("systemctl stop it-write")
            let report = try taken.json
            try #require(taken.exit == 0, "\(taken)")
            #expect(report.consistency == "filesystem" && report.frozen == 2 && report.thawed == 2)
            #expect(try await logRoot(of: report) == 0)
            let verified = try await guest.stillpoint("verify", guest.name, "frozen", "--json")
            #expect(verified.exit == 0, "\(verified)")
            let places = try proofs(verified)
            #expect(places["vdb"]?["kind"] == "xfs" && places["vdb"]?["check"]?["result"] == "notChecked")
            #expect(places["vdc"]?["kind"] == "btrfs" && places["vdc"]?["check"]?["result"] == "ok")
            #expect(places["vdc"]?["frozen"] == true)
            #expect(try verified.json["filesystem"]?["detail"]?.string?.contains("not checked: vdb (xfs)") == true)
            #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
        }

        @Test("btrfs has a log root in a cut without a freeze")
        func crash() async throws {
            let guest = try LabGuest.current
            try await write(guest, to: "/srv/xfs /srv/btrfs")
            let taken = try await guest.stillpoint(
                "snapshot", guest.name, "--disk", "vdc", "--name", "crash", "--no-freeze", "--json")
            try await guest.sh("systemctl stop it-write")
            try #require(taken.exit == 0, "\(taken)")
            #expect(try await logRoot(of: taken.json) != 0)
            let verified = try await guest.stillpoint("verify", guest.name, "crash", "--level", "filesystem", "--json")
            #expect(verified.exit == 24, "\(verified)")
            #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
        }

        /// Writes with fsync all the time. On btrfs they go to the log tree until the next transaction, every 30 s.
        private func write(_ guest: LabGuest, to mountpoints: String) async throws {
            let script = """
                while :; do
                    for m in \(mountpoints); do dd if=/dev/zero of=$m/w bs=4k count=4 conv=notrunc,fsync; done
                done
                """
            try await guest.background("it-write", script)
        }

        private func logRoot(of report: JSONValue) async throws -> Int {
            let image = try FrozenImage.one("vdc", of: report)
            return try await Place.withFolder { folder in
                let words = try await Program.succeed(
                    "btrfs", "inspect-internal", "dump-super", image.flat(in: folder))
                let line = try #require(words.split(separator: "\n").first { $0.hasPrefix("log_root\t") })
                return try #require(line.split(separator: "\t").last.flatMap { Int($0) })
            }
        }

        private func proofs(_ ended: Program.Ended) throws -> [String: JSONValue] {
            try (ended.json["filesystems"]?.array ?? []).reduce(into: [:]) { places, proof in
                places[try #require(proof["place"]?.string)] = proof
            }
        }
    }
}
