// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

extension Lab {
    @Suite("deleting snapshots of a domain without a guest in it")
    struct Delete {
        /// Four snapshots `s1`…`s4`, each after its number was written to its place of vda, and a 9 in the end.
        private func grow(_ domain: BareDomain) async throws {
            for number in 1...4 {
                try await domain.write(number, to: 0, at: number * 64)
                try await domain.snapshot("s\(number)")
            }
            try await domain.write(9, to: 0)
        }

        private func expectWhole(_ domain: BareDomain, _ numbers: ClosedRange<Int> = 1...4, _ last: Int = 9)
            async throws
        {
            for number in numbers {
                #expect(try await domain.reads(number, from: "vda", at: number * 64), "\(number)")
            }
            #expect(try await domain.reads(last, from: "vda"))
        }

        @Test("from the middle, then the newest, then the oldest while it runs; each time nothing else changes")
        func running() async throws {
            try await BareDomain.with { domain in
                try await grow(domain)
                let dry = try await domain.stillpoint("delete", domain.name, "s2", "--dry-run", "--json")
                #expect(try dry.json["isDryRun"] == true && dry.json["disks"]?.array?.count == 2)
                for (name, left) in [("s2", ["s1", "s3", "s4"]), ("s4", ["s1", "s3"]), ("s1", ["s3"]), ("s3", [])] {
                    let gone = try await domain.stillpoint("delete", domain.name, name, "--json")
                    try #require(gone.exit == 0, "\(gone)")
                    #expect(
                        try gone.json["schema"] == "stillpoint.delete/v1" && gone.json["snapshots"] == [.string(name)])
                    #expect(try await Virsh.snapshots(of: domain.uuid) == left)
                    #expect(try await domain.stillpoint("list", domain.name, "--names").lines == left)
                    for name in left {
                        let chain = try await domain.stillpoint("verify", domain.name, name, "--level", "chain")
                        #expect(chain.exit == 0, "\(chain)")
                    }
                    #expect(!domain.images.contains { $0.hasSuffix(".\(name)") })
                    try await expectWhole(domain)
                }
                #expect(domain.images == ["one.qcow2", "two.qcow2"])
            }
        }

        @Test("of a guest that is off, and with all that stand on it; what it lies on may be raw")
        func off() async throws {
            try await BareDomain.with { domain in
                try await grow(domain)
                try await Virsh.run("destroy", domain.uuid)
                let gone = try await domain.stillpoint("delete", domain.name, "s3")
                #expect(gone.exit == 0, "\(gone)")
                try await expectWhole(domain)
                let all = try await domain.stillpoint("delete", domain.name, "s2", "--children", "--json")
                try #require(all.exit == 0, "\(all)")
                #expect(try all.json["snapshots"] == ["s2", "s4"])
                #expect(try await Virsh.snapshots(of: domain.uuid) == ["s1"])
                try await expectWhole(domain)
                try await Virsh.run("start", domain.uuid)
                #expect(try await domain.stillpoint("commit", domain.name).exit == 0)
                try await expectWhole(domain)
            }
        }

        @Test("beside a branch that a revert left: never under it, and after prune as if it had not been")
        func branches() async throws {
            try await BareDomain.with { domain in
                try await grow(domain)
                #expect(try await domain.stillpoint("revert", domain.name, "s2", "--destroy").exit == 0)
                try await domain.write(8, to: 0)
                let rows = try await domain.stillpoint("list", domain.name, "--json").json["snapshots"]?.array
                #expect(rows?.map { $0["standing"]?.string } == ["below", "current", "abandoned", "abandoned"])
                let refused = try await domain.stillpoint("delete", domain.name, "s2", "--json")
                try expectFailure(refused, 20, "carries", isJSON: true)
                // On the branch, and below both.
                for name in ["s4", "s1"] {
                    let gone = try await domain.stillpoint("delete", domain.name, name)
                    #expect(gone.exit == 0, "\(gone)")
                }
                try await expectWhole(domain, 1...2, 8)
                #expect(try await domain.stillpoint("revert", domain.name, "--undo", "--destroy").exit == 0)
                try await expectWhole(domain)
                #expect(try await Virsh.snapshots(of: domain.uuid) == ["s2", "s3"])
                #expect(try await domain.stillpoint("revert", domain.name, "s3", "--destroy").exit == 0)
                try await expectWhole(domain, 1...3, 0)
                let pruned = try await domain.stillpoint("prune", domain.name, "--abandoned", "--json")
                #expect(pruned.exit == 0, "\(pruned)")
                for name in ["s2", "s3"] {
                    #expect(try await domain.stillpoint("delete", domain.name, name).exit == 0)
                    try await expectWhole(domain, 1...3, 0)
                }
                #expect(domain.images == ["one.qcow2", "two.qcow2"])
            }
        }

        @Test("prune keeps the newest, by option or by configuration, and leaves what virsh made")
        func prune() async throws {
            try await BareDomain.with { domain in
                try await grow(domain)
                try await Virsh.run("snapshot-create-as", domain.uuid, "theirs", "--disk-only", "--atomic")
                try expectFailure(try await domain.stillpoint("prune", domain.name, "--json"), 64, isJSON: true)
                let none = try await domain.stillpoint("prune", domain.name, "--older-than", "1h", "--json")
                #expect(try none.exit == 0 && none.json["removed"] == [])
                let configuration = "\(domain.stillpoint.state)/config.yaml"
                try Data("prune: { keep: 2 }\n".utf8).write(to: URL(filePath: configuration))
                let pruned = try await domain.stillpoint("--config", configuration, "prune", domain.name, "--json")
                #expect(try pruned.json["snapshots"] == ["s1", "s2"], "\(pruned)")
                try await expectWhole(domain)
                #expect(try await domain.stillpoint("prune", domain.name, "--keep", "0").exit == 0)
                #expect(try await Virsh.snapshots(of: domain.uuid) == ["theirs"])
                try await Virsh.run("snapshot-delete", domain.uuid, "theirs")
                try await expectWhole(domain)
            }
        }

        @Test(
            "one that virsh has deleted behind our back is noticed, and delete forgets it; a pool may be refreshed between"
        )
        func behindOurBack() async throws {
            try await BareDomain.with { domain in
                try await grow(domain)
                let pool = "\(Place.guestPrefix)-pool"
                try await Virsh.run("pool-create-as", pool, "dir", "--target", domain.folder)
                let result: Result<Void, any Error>
                do {
                    try await Virsh.run("snapshot-delete", domain.uuid, "s4")
                    try await Virsh.run("pool-refresh", pool)
                    let rows = try await domain.stillpoint("list", domain.name, "--json").json["snapshots"]?.array
                    #expect(rows?.last?["name"] == "s4" && rows?.last?["standing"] == "gone")
                    try expectFailure(
                        try await domain.stillpoint("revert", domain.name, "s4", "--destroy", "--json"), 20)
                    #expect(try await domain.stillpoint("delete", domain.name, "s4").exit == 0)
                    #expect(try await domain.stillpoint("list", domain.name, "--names").lines == ["s1", "s2", "s3"])
                    #expect(try await domain.stillpoint("delete", domain.name, "s2").exit == 0)
                    try await expectWhole(domain)
                    result = .success(())
                } catch { result = .failure(error) }
                try await Virsh.run("pool-destroy", pool)
                try result.get()
            }
        }

        @Test("a base that another domain lies on is not touched, not even by a domain that is off")
        func shared() async throws {
            try await BareDomain.with { domain in
                try await grow(domain)
                let clone = "\(domain.folder)/clone.qcow2"
                for base in [
                    "\(domain.folder)/one.s1", "./one.s1",
                    "../\(domain.folder.split(separator: "/").last ?? "")/one.s1",
                ] {
                    try await Program.succeed(
                        "qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", base, "-F", "qcow2", clone, "16M")
                    for name in ["s1", "s2"] {
                        let refused = try await domain.stillpoint("delete", domain.name, name, "--json")
                        try expectFailure(refused, 20, "clone.qcow2", isJSON: true)
                    }
                }
                #expect(try await domain.stillpoint("delete", domain.name, "s4").exit == 0)
                try FileManager.default.removeItem(atPath: clone)
                #expect(try await domain.stillpoint("delete", domain.name, "s1").exit == 0)
                try await expectWhole(domain)
            }
        }

        @Test("the newest layer of a disk that was taken out of the definition stays, whatever becomes of the others")
        func detached() async throws {
            try await BareDomain.with { domain in
                try await domain.snapshot("s1")
                try await domain.write(7, to: 1)
                try await Virsh.run("destroy", domain.uuid)
                try await Virsh.run("detach-disk", domain.uuid, "vdb", "--config")
                let merged = try await domain.stillpoint("commit", domain.name, "--json")
                #expect(merged.exit == 0, "\(merged)")
                #expect(domain.images.contains("two.s1") && !domain.images.contains("one.s1"))
                try await Virsh.run(
                    "attach-disk", domain.uuid, "\(domain.folder)/two.s1", "vdb", "--config", "--subdriver", "qcow2")
                #expect(try await domain.reads(7, from: "vdb"))
            }
        }
    }
}
