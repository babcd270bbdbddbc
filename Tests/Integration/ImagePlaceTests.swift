// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

extension Lab {
    /// Every kind of place an image can be in: snapshot, chain, commit, and where it came from again.
    @Suite("images wherever they lie")
    struct ImagePlaces {
        /// A cut of a running and of a stopped domain, and back to where its disks were.
        private func roundTrip(_ domain: BareDomain, _ options: String...) async throws {
            let before = try await Virsh.disks(of: domain.uuid, saved: true)
            let cold = try await domain.stillpoint.run(["snapshot", domain.name, "--name", "cold", "--json"] + options)
            #expect(cold.exit == 11, "\(cold)")
            #expect(try cold.json.member?["verification"]?["chain"]?["result"] == "ok")
            try await Virsh.run("start", domain.uuid)
            let again = options.map { $0.replacing(".over", with: ".over2") }
            let warm = try await domain.stillpoint.run(
                ["snapshot", domain.name, "--name", "warm", "--no-freeze", "--json"] + again)
            #expect(warm.exit == 0, "\(warm)")
            #expect(try warm.json.member?["verification"]?["chain"]?["result"] == "ok")
            for name in ["cold", "warm"] {
                let verified = try await domain.stillpoint("verify", domain.name, name, "--level", "chain")
                #expect(verified.exit == 0, "\(verified)")
            }
            let commit = try await domain.stillpoint("commit", domain.name, "--all", "--json")
            #expect(commit.exit == 0, "\(commit)")
            let now = try await Virsh.disks(of: domain.uuid)
            for (target, image) in before {
                // A volume is named by libvirt's word before, by its path after.
                #expect(now[target] == image || now[target]?.hasSuffix("/\(image)") == true, "\(target): \(now)")
            }
        }

        @Test("a raw file and a qcow2 with a backing file named from its own folder")
        func rawAndRelative() async throws {
            try await BareDomain.with(
                images: [],
                and: { folder in
                    try await Program.succeed("qemu-img", "create", "-q", "-f", "raw", "--", "\(folder)/raw.img", "16M")
                    try await Program.succeed(
                        "qemu-img", "create", "-q", "-f", "qcow2", "--", "\(folder)/base.qcow2", "16M")
                    try await Program.succeed(
                        "sh", "-c", "cd \(folder) && qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2")
                    return BareDomain.disk("vda", "file", format: "raw", "<source file='\(folder)/raw.img'/>")
                        + BareDomain.disk("vdb", "file", format: "qcow2", "<source file='\(folder)/top.qcow2'/>")
                }, running: false
            ) { domain in
                let cold = try await domain.stillpoint("snapshot", domain.name, "--name", "cold", "--json")
                #expect(cold.exit == 11, "\(cold)")
                let disks = try cold.json.disks
                #expect(disks.first { $0["target"] == "vda" }?["format"] == "raw")
                #expect(disks.first { $0["target"] == "vdb" }?["chain"]?.array?.count == 2)
                try await Virsh.run("start", domain.uuid)
                #expect(try await domain.stillpoint("verify", domain.name, "cold", "--level", "chain").exit == 0)
                #expect(try await domain.stillpoint("commit", domain.name).exit == 0)
                #expect(try await Virsh.disks(of: domain.uuid)["vda"] == "\(domain.folder)/raw.img")
                #expect(try await Virsh.disks(of: domain.uuid)["vdb"] == "\(domain.folder)/top.qcow2")
            }
        }

        @Test("a folder with spaces, and a name with an apostrophe and an ampersand")
        func spaces() async throws {
            try await BareDomain.with(
                images: [],
                and: { folder in
                    let place = "\(folder)/virtual machines"
                    try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
                    try await Program.succeed(
                        "qemu-img", "create", "-q", "-f", "qcow2", "--", "\(place)/it's a & b.qcow2", "16M")
                    return BareDomain.disk(
                        "vda", "file", format: "qcow2", "<source file=\"\(place)/it's a &amp; b.qcow2\"/>")
                }, running: false
            ) { try await roundTrip($0) }
        }

        @Test("volumes of two storage pools, and one of a pool that is gone is left out with the reason")
        func volumes() async throws {
            let pools = ["\(Place.guestPrefix)-p1", "\(Place.guestPrefix)-p2"]
            try await BareDomain.with(
                images: [],
                and: { folder in
                    for pool in pools {
                        try await Virsh.run("pool-create-as", pool, "dir", "--target", "\(folder)/\(pool)", "--build")
                        try await Virsh.run("vol-create-as", pool, "vol.qcow2", "16M", "--format", "qcow2")
                    }
                    return zip(["vda", "vdb"], pools).map { target, pool in
                        BareDomain.disk(
                            target, "volume", format: "qcow2", "<source pool='\(pool)' volume='vol.qcow2'/>")
                    }.joined()
                }, running: false
            ) { domain in
                let result: Result<Void, any Error>
                do {
                    try await roundTrip(domain)
                    try await Virsh.run("destroy", domain.uuid)
                    try await Virsh.run("define", "\(domain.folder)/domain.xml")
                    try await Virsh.run("pool-destroy", pools[1])
                    let plan = try await domain.stillpoint("plan", domain.name, "--json")
                    let left = try plan.json["excluded"]?.array?.first
                    #expect(left?["target"] == "vdb" && left?["reason"]?.string?.contains(pools[1]) == true, "\(plan)")
                    result = .success(())
                } catch {
                    result = .failure(error)
                }
                for pool in pools { _ = try? await Virsh.run("pool-destroy", pool) }
                try result.get()
            }
        }

        @Test("a block device wants to be told where its overlay goes, and is merged into again", .enabled(if: loops))
        func blockDevice() async throws {
            let folder = try Place.makeFolder()
            defer { try? FileManager.default.removeItem(atPath: folder) }
            try await Program.succeed("truncate", "-s", "16M", "\(folder)/disk")
            let device = try await Program.succeed("losetup", "--find", "--show", "\(folder)/disk")
            let result: Result<Void, any Error>
            do {
                try await BareDomain.with(
                    images: [],
                    and: { _ in BareDomain.disk("vda", "block", format: "raw", "<source dev='\(device)'/>") },
                    running: false
                ) { domain in
                    let refused = try await domain.stillpoint("snapshot", domain.name, "--json")
                    try expectFailure(refused, 20, "vda", device, "block device", isJSON: true)
                    try await roundTrip(domain, "--diskspec", "vda,file=\(domain.folder)/vda.over")
                    let definition = try await Virsh.run("dumpxml", "--inactive", domain.uuid)
                    #expect(definition.contains("<source dev='\(device)'/>"), "\(definition)")
                }
                result = .success(())
            } catch {
                result = .failure(error)
            }
            try await Program.succeed("losetup", "--detach", device)
            try result.get()
        }

        private static let loops = FileManager.default.fileExists(atPath: "/dev/loop-control") && getuid() == 0

        @Test("a network disk is left out with the reason, and refused where it is asked for by name")
        func network() async throws {
            let server = try Place.makeFolder()
            defer { try? FileManager.default.removeItem(atPath: server) }
            try await Program.succeed("qemu-img", "create", "-q", "-f", "raw", "--", "\(server)/far.img", "16M")
            chmod(server, 0o755)
            let start = """
                qemu-nbd --fork --persistent --shared 4 --format raw --socket "$1/nbd" --pid-file "$1/pid" "$1/far.img"
                chmod 0777 "$1/nbd"
                """
            try await Program.succeed("sh", "-ec", start, "sh", server)
            let result: Result<Void, any Error>
            do {
                try await BareDomain.with(
                    images: ["one.qcow2", "two.qcow2"],
                    and: { _ in
                        BareDomain.disk(
                            "vdc", "network", format: "raw",
                            "<source protocol='nbd'><host transport='unix' socket='\(server)/nbd'/></source>")
                    }
                ) { domain in
                    let taken = try await domain.stillpoint("snapshot", domain.name, "--no-freeze", "--json")
                    #expect(taken.exit == 0, "\(taken)")
                    #expect(try taken.json.targets == ["vda", "vdb"])
                    let left = try taken.json.member?["snapshot"]?["excluded"]?.array?.first
                    #expect(left?["target"] == "vdc" && left?["reason"]?.string?.contains("nbd") == true)
                    let named = try await domain.stillpoint(
                        "snapshot", domain.name, "--no-freeze", "--disk", "vdc", "--json")
                    try expectFailure(named, 20, "vdc", "nbd", isJSON: true)
                    #expect(try await domain.stillpoint("commit", domain.name).exit == 0)
                }
                result = .success(())
            } catch {
                result = .failure(error)
            }
            try await Program.succeed("sh", "-c", "kill \"$(cat \"$1/pid\")\"", "sh", server)
            try result.get()
        }
    }
}
