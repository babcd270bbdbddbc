// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Subprocess
import Testing

extension Lab {
    @Suite("going back to a snapshot of a domain without a guest in it")
    struct Revert {
        @Test(
            "a running guest is refused, and with its power taken away runs on what the snapshot froze; undo leads back"
        )
        func runningAndBack() async throws {
            try await BareDomain.with { domain in
                try await domain.write(1, to: 0)
                try await domain.snapshot("one")
                try await domain.write(2, to: 0)
                try await domain.write(3, to: 1)

                let refused = try await domain.stillpoint("revert", domain.name, "one", "--json")
                try expectFailure(refused, 20, "is running", isJSON: true)
                let before = domain.images
                let dry = try await domain.stillpoint("revert", domain.name, "one", "--destroy", "--dry-run", "--json")
                #expect(try dry.json["isDryRun"] == true && dry.exit == 0)
                #expect(domain.images == before)

                let back = try await domain.stillpoint("revert", domain.name, "one", "--destroy", "--json")
                try #require(back.exit == 0, "\(back)")
                #expect(try back.json["state"] == "running" && back.json["disks"]?.array?.count == 2)
                #expect(try await domain.state == "running")
                #expect(try await domain.reads(1, from: "vda"))
                #expect(try await domain.reads(0, from: "vdb"))
                #expect(try await Virsh.disks(of: domain.uuid) == Virsh.disks(of: domain.uuid, saved: true))
                #expect(try await Virsh.run("snapshot-current", domain.uuid, "--name") == "one")
                #expect(try await domain.stillpoint("verify", domain.name, "one", "--level", "chain").exit == 0)

                try await domain.write(4, to: 1)
                let undone = try await domain.stillpoint("revert", domain.name, "--undo", "--destroy", "--paused")
                #expect(undone.exit == 0, "\(undone)")
                #expect(try await domain.state == "paused")
                #expect(try await domain.reads(2, from: "vda"))
                #expect(try await domain.reads(3, from: "vdb"))
                // And back from the undo.
                #expect(try await domain.stillpoint("revert", domain.name, "--undo", "--destroy").exit == 0)
                #expect(try await domain.reads(4, from: "vdb"))
            }
        }

        @Test("a guest that is off stays off; one that does not shut down keeps its disks; its saved memory forbids it")
        func off() async throws {
            try await BareDomain.with { domain in
                try await domain.snapshot("one")
                try await domain.write(2, to: 0)
                let disks = try await Virsh.disks(of: domain.uuid)
                // Nothing in it listens to the power button.
                let deaf = try await domain.stillpoint("revert", domain.name, "one", "--shutdown=1s", "--json")
                try expectFailure(deaf, 20, "did not shut down within 1 s", isJSON: true)
                #expect(try await Virsh.disks(of: domain.uuid) == disks)
                #expect(domain.images.filter { $0.contains("revert") }.isEmpty)

                try await Virsh.run("managedsave", domain.uuid)
                let saved = try await domain.stillpoint("revert", domain.name, "one", "--json")
                try expectFailure(saved, 20, "managed save", isJSON: true)
                try await Virsh.run("managedsave-remove", domain.uuid)

                let back = try await domain.stillpoint("revert", domain.name, "one")
                #expect(back.exit == 0, "\(back)")
                #expect(try await domain.state == "shut off")
                #expect(try await domain.reads(0, from: "vda"))
                try await Virsh.run("start", domain.uuid)
                #expect(try await domain.stillpoint("plan", domain.name, "--no-freeze").exit == 0)
            }
        }

        @Test("a snapshot that virsh made is gone back to, and virsh's own tree is right at every turn")
        func virshsOwn() async throws {
            try await BareDomain.with { domain in
                try await domain.write(1, to: 0)
                try await domain.snapshot("ours")
                try await domain.write(2, to: 0)
                try await Virsh.run("snapshot-create-as", domain.uuid, "theirs", "--disk-only", "--atomic")
                try await domain.write(3, to: 0)
                #expect(try await domain.stillpoint("revert", domain.name, "ours", "--destroy").exit == 0)
                #expect(try await Virsh.snapshots(of: domain.uuid) == ["ours"])
                #expect(try await domain.reads(1, from: "vda"))
                let back = try await domain.stillpoint("revert", domain.name, "theirs", "--destroy")
                #expect(back.exit == 0, "\(back)")
                #expect(try await domain.reads(2, from: "vda"))
                #expect(try await Virsh.snapshots(of: domain.uuid).sorted() == ["ours", "theirs"])
                #expect(try await Virsh.run("snapshot-current", domain.uuid, "--name") == "theirs")
                #expect(try await Virsh.run("snapshot-parent", domain.uuid, "theirs") == "ours")
                // virsh goes on from there as if it had always been so.
                try await Virsh.run("snapshot-create-as", domain.uuid, "next", "--disk-only", "--atomic")
                #expect(try await Virsh.run("snapshot-parent", domain.uuid, "next") == "theirs")
                try await Virsh.run("snapshot-delete", domain.uuid, "next")
                #expect(try await domain.reads(2, from: "vda"))
            }
        }

        @Test(
            "killed or interrupted at any step, recover leaves a guest that runs on the one state or the other, whole",
            arguments: [
                "making the overlays", "taking the power away", "changing its definition", "starting it",
            ])
        func killed(_ step: String) async throws {
            try await BareDomain.with { domain in
                try await domain.write(1, to: 0)
                try await domain.snapshot("one")
                try await domain.write(2, to: 0)
                for signal in [Signal.kill, .interrupt] {
                    let ended = try await domain.stillpoint.run(
                        ["revert", domain.name, "one", "--destroy"], interrupt: .init(text: step, signal: signal))
                    // Too late to stop it, or gone before the signal came.
                    #expect([0, 130, 137].contains(ended.exit), "\(ended)")
                    let recovered = try await domain.stillpoint("recover", domain.name)
                    #expect(recovered.exit == 0, "\(recovered)")
                    #expect(try await domain.stillpoint("recover", domain.name).output.contains("nothing"))
                    #expect(try await domain.state == "running")
                    #expect(try await Virsh.disks(of: domain.uuid) == Virsh.disks(of: domain.uuid, saved: true))
                    let (old, new) = (try await domain.reads(2, from: "vda"), try await domain.reads(1, from: "vda"))
                    #expect(old != new, "\(step), \(signal)")
                    if new {
                        #expect(try await domain.stillpoint("revert", domain.name, "--undo", "--destroy").exit == 0)
                    }
                    #expect(try await domain.reads(2, from: "vda"))
                    #expect(try await domain.stillpoint("prune", domain.name, "--abandoned").exit == 0)
                }
                #expect(try await domain.stillpoint("commit", domain.name).exit == 0)
                #expect(domain.images == ["one.qcow2", "two.qcow2"])
                #expect(try await Virsh.snapshots(of: domain.uuid).isEmpty)
            }
        }

        @Test(
            "a name that cannot be one, or that nobody has, changes nothing",
            arguments: [
                "a/b": Int32(64), "../up": 64, String(repeating: "x", count: 300): 64, "two\nlines": 64, "": 64,
                "nobody": 66,
            ])
        func badNames(_ name: String, _ status: Int32) async throws {
            try await BareDomain.with(running: false) { domain in
                let ended = try await domain.stillpoint("revert", domain.name, name, "--json")
                #expect(ended.exit == status, "\(ended)")
                #expect(ended.errors.split(separator: "\n").filter { $0.hasPrefix("stillpoint: ") }.count == 1)
                #expect(domain.images == ["one.qcow2", "two.qcow2"])
            }
        }
    }
}

extension BareDomain {
    func snapshot(_ name: String, _ arguments: String...) async throws {
        let taken = try await stillpoint.run(["snapshot", self.name, "--no-freeze", "--name", name] + arguments)
        try #require(taken.exit == 0 || taken.exit == 11, "\(taken)")
    }
}
