// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

extension Lab {
    @Suite("other shapes of a snapshot")
    struct Shapes {
        @Test("with memory: libvirt can go back to it, and a commit removes its file")
        func memory() async throws {
            try await BareDomain.with { domain in
                let file = "\(domain.folder)/one.memory"
                let taken = try await domain.stillpoint(
                    "snapshot", domain.name, "--memory", file, "--name", "ram", "--description", "as it ran", "--json")
                #expect(taken.exit == 0, "\(taken)")
                let report = try taken.json
                #expect(report.consistency == "crash")
                let memory = report.member?["snapshot"]?["memory"]
                let size = try FileManager.default.attributesOfItem(atPath: file)[.size] as? Int64
                #expect(memory?["file"]?.string == file && memory?["bytes"]?.integer == size && size ?? 0 > 0)
                let listed = try await Virsh.run("snapshot-dumpxml", domain.uuid, "ram")
                #expect(listed.contains("<memory snapshot='external' file='\(file)'/>"))
                #expect(
                    listed.contains("<description>as it ran</description>") && listed.contains("<state>running</state>")
                )
                #expect(try await Virsh.run("domstate", domain.uuid) == "running")

                let again = try await domain.stillpoint("snapshot", domain.name, "--memory", file, "--json")
                try expectFailure(again, 20, file, "exists already", isJSON: true)
                #expect(try await domain.stillpoint("commit", domain.name).exit == 0)
                #expect(!FileManager.default.fileExists(atPath: file))
                #expect(try await Virsh.snapshots(of: domain.uuid).isEmpty)
            }
        }

        @Test("with memory: revert goes on in it, running or paused, as often as one likes; without it only when asked")
        func memoryRevert() async throws {
            try await BareDomain.with { domain in
                let file = "\(domain.folder)/one.memory"
                try await domain.write(1, to: 0)
                let taken = try await domain.stillpoint("snapshot", domain.name, "--memory", file, "--name", "ram")
                #expect(taken.exit == 0, "\(taken)")
                try await domain.write(2, to: 0)
                let back = try await domain.stillpoint("revert", domain.name, "ram", "--destroy", "--json")
                try #require(back.exit == 0, "\(back)")
                #expect(try back.json["memory"]?.string == file && back.json["state"] == "running")
                #expect(try await domain.reads(1, from: "vda"))
                // Restored and not booted: libvirt knows why it runs.
                #expect(try await Virsh.run("domstate", "--reason", domain.uuid) == "running (restored)")
                #expect(try await Virsh.disks(of: domain.uuid) == Virsh.disks(of: domain.uuid, saved: true))
                try await domain.write(3, to: 0)
                try await Virsh.run("destroy", domain.uuid)
                #expect(try await domain.stillpoint("revert", domain.name, "ram", "--paused").exit == 0)
                #expect(try await domain.state == "paused")
                #expect(try await domain.reads(1, from: "vda"))
                let anew = try await domain.stillpoint(
                    "revert", domain.name, "ram", "--destroy", "--no-memory", "--running")
                #expect(anew.exit == 0, "\(anew)")
                #expect(try await Virsh.run("domstate", "--reason", domain.uuid) == "running (booted)")
                try await Program.succeed("mv", file, "\(file).away")
                let gone = try await domain.stillpoint("revert", domain.name, "ram", "--destroy", "--json")
                try expectFailure(gone, 20, file, "is gone", isJSON: true)
                #expect(try await domain.state == "running")
            }
        }

        @Test("inside the images of a domain that is off: every disk, one name, and virsh reverts to it")
        func inside() async throws {
            try await BareDomain.with(running: false) { domain in
                let taken = try await domain.stillpoint("snapshot", domain.name, "--internal", "--name", "in", "--json")
                #expect(taken.exit == 11, "\(taken)")
                let report = try taken.json
                #expect(report.targets == ["vda", "vdb"] && report.member?["snapshot"]?["kind"] == "internal")
                for image in report.overlays {
                    #expect(try await Program.succeed("qemu-img", "snapshot", "-l", image).contains("in"))
                }
                #expect(try await domain.stillpoint("verify", domain.name, "in").exit == 0)
                let commit = try await domain.stillpoint("commit", domain.name, "--json")
                try expectFailure(commit, 20, "inside the images", isJSON: true)
                try await Virsh.run("snapshot-revert", domain.uuid, "in")
                try await Virsh.run("snapshot-delete", domain.uuid, "in")
                let verified = try await domain.stillpoint("verify", domain.name, "in", "--json")
                #expect(verified.exit == 24, "\(verified)")
            }
        }

        @Test(
            "inside is refused for a raw disk, a block device, a network disk, a running domain and for some disks only"
        )
        func insideRefused() async throws {
            try await BareDomain.with(
                images: ["one.qcow2"],
                and: { folder in
                    try await Program.succeed("qemu-img", "create", "-q", "-f", "raw", "--", "\(folder)/two.raw", "16M")
                    return BareDomain.disk("vdb", "file", format: "raw", "<source file='\(folder)/two.raw'/>")
                }, running: false
            ) { domain in
                let raw = try await domain.stillpoint("snapshot", domain.name, "--internal", "--json")
                try expectFailure(raw, 20, "vdb", "raw", isJSON: true)
                let some = try await domain.stillpoint(
                    "snapshot", domain.name, "--internal", "--exclude", "vdb", "--json")
                try expectFailure(some, 20, "vdb", isJSON: true)
                try await Virsh.run("start", domain.uuid)
                let running = try await domain.stillpoint("snapshot", domain.name, "--internal", "--json")
                try expectFailure(running, 20, "guest that is off", isJSON: true)
            }
        }

        @Test(
            "UEFI variables are kept beside the manifest with their digest, and the TPM is named as not included",
            .enabled(if: FileManager.default.fileExists(atPath: "/usr/share/OVMF/OVMF_VARS_4M.fd"), "package ovmf"))
        func firmware() async throws {
            let firmware = """
                <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>\
                <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>/var/tmp/stillpoint-it-\(getpid())/vars.fd</nvram>
                """
            try await BareDomain.with(images: ["one.qcow2"], firmware: firmware) { domain in
                let taken = try await domain.stillpoint(
                    "snapshot", domain.name, "--no-freeze", "--name", "uefi", "--json")
                #expect(taken.exit == 0, "\(taken)")
                let report = try taken.json
                let variables = try #require(report.member?["snapshot"]?["nvram"])
                let run = try #require(report["run"]?.string)
                for place in ["\(domain.stillpoint.state)/runs", "\(domain.folder)/.stillpoint"] {
                    let sums = try await Program.succeed(
                        "sh", "-c", "cd \(place)/\(run) && sha256sum -c SHA256SUMS && sha256sum nvram.fd")
                    #expect(sums.contains("nvram.fd: OK"))
                    #expect(sums.contains(try #require(variables["sha256"]?.string)))
                }

                // What the firmware has changed since is put aside, and comes back with undo.
                let file = "\(domain.folder)/vars.fd"
                let sum = try #require(variables["sha256"]?.string)
                let owner = try await Program.succeed("stat", "-c", "%u %a", file)
                try await Virsh.run("destroy", domain.uuid)
                try await Program.succeed("sh", "-c", "printf changed | dd conv=notrunc of=\(file) 2>&1")
                let changed = try await Program.succeed("sha256sum", file)
                let back = try await domain.stillpoint("revert", domain.name, "uefi", "--json")
                try #require(back.exit == 0, "\(back)")
                #expect(try back.json["nvram"]?.string == file)
                #expect(try await Program.succeed("sha256sum", file).hasPrefix(sum))
                #expect(try await domain.stillpoint("revert", domain.name, "--undo").exit == 0)
                #expect(try await Program.succeed("sha256sum", file) == changed)
                try await Virsh.run("start", domain.uuid)
                #expect(try await Program.succeed("stat", "-c", "%u %a", file) == owner)
                #expect(try await domain.stillpoint("prune", domain.name, "--abandoned").exit == 0)
                #expect(try await domain.stillpoint("commit", domain.name).exit == 0)
            }
        }
    }
}
