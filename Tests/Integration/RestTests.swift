// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

extension Lab {
    @Suite("a domain that is off")
    struct Rest {
        @Test("gets a snapshot that virsh lists, and runs on its overlays afterwards")
        func offline() async throws {
            try await BareDomain.with(running: false) { domain in
                let before = try await Virsh.disks(of: domain.uuid, saved: true)
                let taken = try await domain.stillpoint("snapshot", domain.name, "--name", "cold", "--json")
                // Never started, so nothing proves that it shut down cleanly.
                #expect(taken.exit == 11, "\(taken)")
                let report = try taken.json
                #expect(report.consistency == "crash" && report.targets == ["vda", "vdb"])
                #expect(report.member?["verification"]?["chain"]?["result"] == "ok")
                #expect(try await Virsh.disks(of: domain.uuid, saved: true).values.sorted() == report.overlays.sorted())
                let listed = try await Virsh.run("snapshot-dumpxml", domain.uuid, "cold")
                #expect(listed.contains("<state>shutoff</state>"))
                #expect(before.values.allSatisfy { listed.contains("<source file='\($0)'/>") })

                try await Virsh.run("start", domain.uuid)
                #expect(try await Virsh.disks(of: domain.uuid).values.sorted() == report.overlays.sorted())
                #expect(try await domain.stillpoint("verify", domain.name, "cold", "--level", "chain").exit == 0)
                #expect(try await domain.stillpoint("commit", domain.name).exit == 0)
                #expect(try await Virsh.disks(of: domain.uuid) == before)
            }
        }

        @Test("that misses the level required is as it was: definition, files, libvirt's list")
        func takenBack() async throws {
            try await BareDomain.with(running: false) { domain in
                let definition = try await Virsh.run("dumpxml", "--security-info", domain.uuid)
                let files = try FileManager.default.contentsOfDirectory(atPath: domain.folder).sorted()
                let taken = try await domain.stillpoint(
                    "snapshot", domain.name, "--require", "application", "--json")
                #expect(taken.exit == 12, "\(taken)")
                #expect(try await Virsh.run("dumpxml", "--security-info", domain.uuid) == definition)
                #expect(try FileManager.default.contentsOfDirectory(atPath: domain.folder).sorted() == files)
                #expect(try await Virsh.snapshots(of: domain.uuid).isEmpty)
            }
        }

        @Test("whose definition has other layers than its images say is left alone: 25")
        func contradiction() async throws {
            try await BareDomain.with(running: false) { domain in
                let disks = try await Virsh.disks(of: domain.uuid, saved: true)
                let (one, two) = (try #require(disks["vda"]), try #require(disks["vdb"]))
                let xml = try await Virsh.run("dumpxml", domain.uuid).replacing(
                    "<source file='\(one)'/>",
                    with:
                        "<source file='\(one)'/><backingStore type='file'><format type='qcow2'/><source file='\(two)'/><backingStore/></backingStore>"
                )
                try Data(xml.utf8).write(to: URL(filePath: "\(domain.folder)/wrong.xml"))
                try await Virsh.run("define", "\(domain.folder)/wrong.xml")
                let taken = try await domain.stillpoint("snapshot", domain.name, "--json")
                try expectFailure(taken, 25, "vda", one, two, isJSON: true)
            }
        }

        @Test("cut once after a start, its definition names a part of the chain, and that is no contradiction")
        func openDefinition() async throws {
            try await BareDomain.with(running: false) { domain in
                try await domain.snapshot("off")
                try await Virsh.run("start", domain.uuid)
                try await domain.snapshot("on")
                try await Virsh.run("destroy", domain.uuid)
                try await domain.snapshot("again")
                let back = try await domain.stillpoint("revert", domain.name, "off")
                #expect(back.exit == 0, "\(back)")
            }
        }

        @Test("whose definition ends above what its image lies on is left alone: 25")
        func closedTooEarly() async throws {
            try await BareDomain.with(running: false) { domain in
                try await domain.snapshot("off")
                let one = try #require(try await Virsh.disks(of: domain.uuid, saved: true)["vda"])
                let xml = try await Virsh.run("dumpxml", domain.uuid).replacing(
                    "<source file='\(one)'/>", with: "<source file='\(one)'/><backingStore/>")
                try Data(xml.utf8).write(to: URL(filePath: "\(domain.folder)/wrong.xml"))
                try await Virsh.run("define", "\(domain.folder)/wrong.xml")
                let taken = try await domain.stillpoint("snapshot", domain.name, "--json")
                try expectFailure(taken, 25, "vda", one, isJSON: true)
            }
        }

        @Test("whose memory is saved is refused, and takes its snapshot once that is given up")
        func managedSave() async throws {
            try await BareDomain.with { domain in
                try await Virsh.run("managedsave", domain.uuid)
                let refused = try await domain.stillpoint("snapshot", domain.name, "--json")
                try expectFailure(refused, 20, "saved to a file", isJSON: true)
                try await Virsh.run("managedsave-remove", domain.uuid)
                let taken = try await domain.stillpoint("snapshot", domain.name, "--no-freeze")
                #expect(taken.exit == 0, "\(taken)")
            }
        }

        @Test("cannot be frozen by hand, and that does not shut down is left running: 75")
        func notRunning() async throws {
            try await BareDomain.with(running: false) { domain in
                try expectFailure(
                    try await domain.stillpoint("freeze", domain.name, "--json"), 20, "shut off", isJSON: true)
                try expectFailure(
                    try await domain.stillpoint("drill", domain.name, "--json"), 20, "shut off", isJSON: true)
                try await Virsh.run("start", domain.uuid)
                // No system is there to hear the power button.
                let taken = try await domain.stillpoint("snapshot", domain.name, "--shutdown=1s", "--json")
                #expect(taken.exit == 75, "\(taken)")
                #expect(taken.lastLine.contains("did not shut down within 1 s"))
                #expect(try await Virsh.run("domstate", domain.uuid) == "running")
                #expect(try await Virsh.disks(of: domain.uuid).values.allSatisfy { $0.hasSuffix(".qcow2") })
            }
        }
    }
}
