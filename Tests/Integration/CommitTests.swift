// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Subprocess
import Testing

extension Lab.Base {
    @Test("the oldest of three is committed with those above it by --all, one alone from the top")
    func chainOfThree() async throws {
        let guest = try LabGuest.current
        for name in ["first", "second", "third"] {
            let taken = try await guest.stillpoint(
                "snapshot", guest.name, "--disk", "vdd", "--disk", "vde", "--name", name, "--max-freeze", "20s")
            #expect(taken.exit == 0, "\(taken)")
        }
        let xml = try await Virsh.run("snapshot-dumpxml", guest.name, "third")
        #expect(xml.contains("<parent>\n    <name>second</name>\n  </parent>"))
        #expect(try await guest.stillpoint("current", guest.name).text == "third")
        let names = try await guest.stillpoint("list", guest.name, "--names").lines
        #expect(names.sorted() == ["first", "second", "third"])
        #expect(try await guest.stillpoint("verify", guest.name, "first", "--level", "chain").exit == 0)
        let layers = try await guest.stillpoint("disks", guest.name, "--json").json["disks"]?.array
        #expect(layers?.first { $0["target"] == "vdd" }?["chain"]?.array?.count == 4)

        let middle = try await guest.stillpoint("commit", guest.name, "first", "--dry-run", "--json")
        #expect(try middle.json["disks"]?.array?.allSatisfy { $0["isHead"] == false } == true, "\(middle)")

        let configuration = "\(guest.stillpoint.state)/config.yaml"
        try Data("chain: { warn: 2, refuse: 4 }\n".utf8).write(to: URL(filePath: configuration))
        let doctor = try await guest.stillpoint("--config", configuration, "doctor", guest.name, "--json")
        #expect(doctor.exit == 20, "\(doctor)")
        #expect(try doctor.json.codes(weighing: "fix") == ["chain.tooDeep", "chain.tooDeep"])
        let deep = try await guest.stillpoint(
            "--config", configuration, "snapshot", guest.name, "--disk", "vdd", "--json")
        try expectFailure(deep, 20, "vdd", "4 deep", isJSON: true)

        let one = try await guest.stillpoint("commit", guest.name, "third")
        #expect(one.exit == 0, "\(one)")
        #expect(try await Virsh.snapshots(of: guest.name).sorted() == ["first", "second"])
        let all = try await guest.stillpoint("commit", guest.name, "--all", "--json")
        #expect(all.exit == 0, "\(all)")
        #expect(try all.json["snapshots"]?.array?.count == 2)
    }

    @Test("one disk of two is committed by --disk, and the snapshot stands until the other is too")
    func partialCommit() async throws {
        let guest = try LabGuest.current
        let taken = try await guest.stillpoint(
            "snapshot", guest.name, "--disk", "vdd", "--disk", "vde", "--name", "two", "--no-freeze")
        #expect(taken.exit == 0, "\(taken)")
        let dry = try await guest.stillpoint("commit", guest.name, "two", "--dry-run", "--json")
        #expect(try dry.json["disks"]?.array?.count == 2 && dry.json["isDryRun"] == true)
        #expect(try await guest.stillpoint("commit", guest.name, "two", "--disk", "vdd").exit == 0)
        #expect(try await Virsh.disks(of: guest.name)["vdd"] == guest.disks["vdd"])
        #expect(try await Virsh.disks(of: guest.name)["vde"] != guest.disks["vde"])
        #expect(try await Virsh.snapshots(of: guest.name) == ["two"])
        let standing = try await guest.stillpoint("list", guest.name, "--json").json["snapshots"]?.array?.first
        #expect(standing?["standing"] == "partly")
        #expect(try await guest.stillpoint("commit", guest.name, "two", "--disk", "vde").exit == 0)
        #expect(try await Virsh.snapshots(of: guest.name).isEmpty)
        let again = try await guest.stillpoint("commit", guest.name, "two", "--json")
        try expectFailure(again, 66, isJSON: true)
    }

    @Test("a commit that is too slow, interrupted or cancelled leaves the overlays whole, and another one ends it")
    func slowCommit() async throws {
        let guest = try LabGuest.current
        let taken = try await guest.stillpoint("snapshot", guest.name, "--disk", "vde", "--name", "slow", "--no-freeze")
        #expect(taken.exit == 0, "\(taken)")
        try await guest.sh("head -c 16777216 /dev/urandom >/srv/scratch/big && sync -f /srv/scratch")
        let sum = try await guest.sh("sha256sum /srv/scratch/big")

        let late = try await guest.stillpoint("commit", guest.name, "--bandwidth", "1M", "--timeout", "1s", "--json")
        try expectFailure(late, 75, "vde", "overlays stay", isJSON: true)
        // Its frozen image holds what was written after the cut by now.
        let list = try await guest.stillpoint("list", guest.name, "--json").json["snapshots"]?.array
        #expect(list?.compactMap { $0["standing"]?.string } == ["merging"])
        for words in [["revert", "slow", "--destroy"], ["copy", "slow", "/var/tmp/never"]] {
            let refused = try await guest.stillpoint.run([words[0], guest.name] + words.dropFirst() + ["--json"])
            try expectFailure(refused, 20, "a merge of slow was begun", isJSON: true)
        }
        #expect(try await guest.stillpoint("verify", guest.name, "slow").exit == 24)
        #expect(try await guest.stillpoint("jobs", guest.name, "--json").json["jobs"]?.array?.isEmpty == true)

        let stopped = try await guest.stillpoint(
            "commit", guest.name, "--bandwidth", "1M", interrupt: .init(text: "merging vde", signal: .interrupt))
        try expectFailure(stopped, 130, "overlays stay")

        async let slow = guest.stillpoint("commit", guest.name, "--bandwidth", "1M", "--json")
        var running = try await guest.stillpoint("jobs", guest.name, "--json").json["jobs"]?.array
        while running?.isEmpty == true {
            running = try await guest.stillpoint("jobs", guest.name, "--json").json["jobs"]?.array
        }
        #expect(running?.first?["target"] == "vde" && running?.first?["kind"] == "activeCommit")
        let busy = try await guest.stillpoint("snapshot", guest.name, "--no-freeze", "--json")
        try expectFailure(busy, 75, isJSON: true)
        #expect(try await guest.stillpoint("jobs", guest.name, "--cancel").exit == 0)
        let ended = try await slow
        #expect(ended.exit != 0, "\(ended)")
        #expect(ended.lastLine.hasPrefix("stillpoint: "))

        #expect(try await Virsh.disks(of: guest.name)["vde"]?.hasSuffix(".slow") == true)
        #expect(try await Virsh.snapshots(of: guest.name) == ["slow"])
        let whole = try await guest.stillpoint("commit", guest.name)
        #expect(whole.exit == 0, "\(whole)")
        #expect(try await guest.sh("echo 3 >/proc/sys/vm/drop_caches; sha256sum /srv/scratch/big") == sum)
        try await guest.sh("rm /srv/scratch/big")
    }

    @Test("nothing is merged into an image that another domain uses too")
    func sharedBase() async throws {
        let guest = try LabGuest.current
        let image = try #require(guest.disks["vde"])
        let taken = try await guest.stillpoint("snapshot", guest.name, "--disk", "vde", "--name", "mine", "--no-freeze")
        #expect(taken.exit == 0, "\(taken)")
        try await BareDomain.with(named: "\(Place.guestPrefix)-other", images: [image], running: false) { _ in
            let one = try await guest.stillpoint("commit", guest.name, "--json")
            try expectFailure(one, 20, "\(Place.guestPrefix)-other", isJSON: true)
            let all = try await guest.stillpoint("commit", guest.name, "--all", "--disk", "vde", "--json")
            #expect(all.exit != 0, "\(all)")
            #expect(try await Virsh.disks(of: guest.name)["vde"]?.hasSuffix(".mine") == true)
        }
        #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
    }
}
