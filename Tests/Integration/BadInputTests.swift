// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

extension Lab {
    // The guest is there for its daemon: without systemd the lab runs libvirtd as long as there is a guest.
    @Suite("what cannot be done is refused with one clear line", .guest(.plain))
    struct BadInput {
        @Test("a domain that does not exist is 66")
        func unknownDomain() async throws {
            let stillpoint = try Stillpoint()
            defer { try? FileManager.default.removeItem(atPath: stillpoint.state) }
            for command in "snapshot plan doctor disks status verify commit jobs freeze thaw".split(separator: " ") {
                let ended = try await stillpoint.run([String(command), "no such domain", "--json"])
                try expectFailure(ended, 66, "no such domain", isJSON: true)
            }
        }

        @Test("another host's guests are for reading: 64, with the ssh line to run instead")
        func remote() async throws {
            let stillpoint = try Stillpoint()
            defer { try? FileManager.default.removeItem(atPath: stillpoint.state) }
            for command in ["snapshot", "verify", "commit", "freeze"] {
                let ended = try await stillpoint.run(["-c", "qemu+ssh://root@kvm7/system", command, "db01", "--json"])
                try expectFailure(ended, 64, command, isJSON: true)
                #expect(try ended.json["error"]?["hint"]?.string?.hasPrefix("ssh kvm7 stillpoint \(command)") == true)
                #expect(ended.errors.contains("ssh kvm7 stillpoint \(command)"))
            }
            let ended = try await stillpoint.run(["-c", "qemu+tcp://kvm7/system", "status", "db01", "--json"])
            try expectFailure(ended, 64, "qemu+tcp", isJSON: true)
        }

        @Test("selections that clash, disks that are not there and names that cannot be are 64")
        func usage() async throws {
            try await BareDomain.with { domain in
                func refused(_ words: String..., by arguments: String...) async throws {
                    let ended = try await domain.stillpoint.run(
                        ["snapshot", domain.name, "--no-freeze", "--json"] + arguments)
                    #expect(ended.exit == 64, "\(ended)")
                    for word in words { #expect(ended.errors.contains(word), "\(ended)") }
                    #expect(try ended.json["error"]?["code"] == 64)
                }
                try await refused("vdx", by: "--disk", "vdx")
                try await refused("vdx", by: "--exclude", "vdx")
                try await refused("vdx", by: "--diskspec", "vdx,snapshot=no")
                try await refused("do not mix", by: "--disk", "vda", "--exclude", "vdb")
                try await refused("do not mix", by: "--disk", "vda", "--diskspec", "vdb")
                try await refused("vda is named twice", by: "--disk", "vda", "--disk", "vda")
                try await refused("../../x", by: "--name", "../../x")
                try await refused("internal", by: "--diskspec", "vda,snapshot=internal")
                try await refused("--max-freeze", by: "--max-freeze", "31s")
                try await refused("filesystem", by: "--require", "filesystem")
                try await expectNothing(of: domain)
            }
        }

        @Test("a guest that is paused is 20")
        func notRunning() async throws {
            try await BareDomain.with { domain in
                try await Virsh.run("suspend", domain.uuid)
                for option in ["--no-freeze", "--no-hooks"] {
                    let ended = try await domain.stillpoint("snapshot", domain.name, option, "--json")
                    try expectFailure(ended, 20, "paused", isJSON: true)
                }
                #expect(try await domain.stillpoint("doctor", domain.name).exit == 20)
                try await expectNothing(of: domain)
            }
        }

        @Test("an overlay that exists, is a link, leaves its folder or has no folder is 20, and nothing is touched")
        func overlayPaths() async throws {
            try await BareDomain.with { domain in
                func refused(_ path: String, _ word: String) async throws {
                    let before = try FileManager.default.contentsOfDirectory(atPath: domain.folder).sorted()
                    let ended = try await domain.stillpoint(
                        "snapshot", domain.name, "--no-freeze", "--diskspec", "vda,file=\(path)", "--json")
                    try expectFailure(ended, 20, word, isJSON: true)
                    #expect(try FileManager.default.contentsOfDirectory(atPath: domain.folder).sorted() == before)
                    #expect(try await Virsh.disks(of: domain.uuid).values.allSatisfy { $0.hasSuffix(".qcow2") })
                }
                let files = FileManager.default
                let precious = "\(domain.folder)/precious"
                try Data("precious".utf8).write(to: URL(filePath: precious))
                try await refused(precious, "exists")
                #expect(files.contents(atPath: precious) == Data("precious".utf8))

                try files.createSymbolicLink(atPath: "\(domain.folder)/link", withDestinationPath: precious)
                try await refused("\(domain.folder)/link", "exists")
                try files.createSymbolicLink(
                    atPath: "\(domain.folder)/dangling", withDestinationPath: "\(domain.folder)/nothing")
                try await refused("\(domain.folder)/dangling", "exists")
                try files.createSymbolicLink(atPath: "\(domain.folder)/folder", withDestinationPath: "/var/tmp")
                try await refused("\(domain.folder)/folder/overlay", "folder")
                try await refused("\(domain.folder)/../overlay", "..")
                try await refused("\(domain.folder)/none/overlay", "none")
                try await refused("\(domain.folder)/one.qcow2", "exists")
                try await refused("\(domain.folder)/over\u{1B}[2Jlay", "control")
                #expect(files.contents(atPath: precious) == Data("precious".utf8))
            }
        }

        @Test("an overlay folder without space is 20", .enabled(if: getuid() == 0, "only root can mount"))
        func fullDisk() async throws {
            try await BareDomain.with { domain in
                let full = "\(domain.folder)/full"
                try FileManager.default.createDirectory(atPath: full, withIntermediateDirectories: false)
                try await Program.succeed("mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "stillpoint-it", full)
                let ended = try await domain.stillpoint(
                    "snapshot", domain.name, "--no-freeze", "--diskspec", "vda,file=\(full)/overlay", "--json")
                let left = try FileManager.default.contentsOfDirectory(atPath: full)
                try await Program.succeed("umount", full)
                try expectFailure(ended, 20, "space", isJSON: true)
                #expect(left.isEmpty)
                try await expectNothing(of: domain)
            }
        }

        @Test("odd names of domains and images are only names: snapshot, verify, list and commit work")
        func oddNames() async throws {
            let images = ["a b.qcow2", "-rf.qcow2", "nbd:$(touch x);'q'&é,=.qcow2"]
            try await BareDomain.with(named: "we ird;$(x)é'&<b>", images: images) { domain in
                let taken = try await domain.stillpoint(
                    "snapshot", domain.name, "--no-freeze", "--name", "odd", "--json")
                try #require(taken.exit == 0, "\(taken)")
                #expect(try taken.json.targets == ["vda", "vdb", "vdc"])
                #expect(try await Virsh.snapshots(of: domain.uuid) == ["odd"])
                let verified = try await domain.stillpoint("verify", domain.name, "odd", "--level", "chain")
                #expect(verified.exit == 0, "\(verified)")
                #expect(try await domain.stillpoint("list", domain.name, "--names").text == "odd")
                #expect(try await domain.stillpoint("disks", domain.name).exit == 0)
                let environment = try await domain.stillpoint(
                    "snapshot", domain.name, "--no-freeze", "--name", "two", "--output", "env")
                let script = #"eval "$1" && printf '%s|%s' "$STILLPOINT_DOMAIN" "$STILLPOINT_DISK_vda""#
                let read = try await Program.run("sh", ["-c", script, "sh", environment.output])
                #expect(read.output == "\(domain.name)|\(domain.folder)/a b.odd")
                let committed = try await domain.stillpoint("commit", domain.name, "--all", "--json")
                #expect(committed.exit == 0, "\(committed)")
                try await expectNothing(of: domain, besides: images)
            }
        }

        @Test("names that nobody chose never clash, however fast one snapshot follows the other")
        func sameSecond() async throws {
            try await BareDomain.with { domain in
                for _ in 1...3 {
                    let taken = try await domain.stillpoint("snapshot", domain.name, "--no-freeze")
                    #expect(taken.exit == 0, "\(taken)")
                }
                #expect(try await Virsh.snapshots(of: domain.uuid).count == 3)
                #expect(try await domain.stillpoint("commit", domain.name, "--all").exit == 0)
                try await expectNothing(of: domain)
            }
        }

        @Test("an unknown option or command is 64, and with --json an object says so")
        func unknownWords() async throws {
            let stillpoint = try Stillpoint()
            defer { try? FileManager.default.removeItem(atPath: stillpoint.state) }
            for arguments in [["snapshot", "db01", "--frobnicate"], ["frobnicate"], ["snapshot"]] {
                let ended = try await stillpoint.run(arguments + ["--json"])
                #expect(ended.exit == 64, "\(ended)")
                #expect(try ended.json["error"]?["code"] == 64, "\(ended)")
            }
            #expect(try await stillpoint.run(["--help"]).exit == 0)
        }

        /// The domain is as it was defined: no overlay, manifest, trash or snapshot.
        private func expectNothing(
            of domain: BareDomain, besides images: [String] = ["one.qcow2", "two.qcow2"],
            at location: SourceLocation = #_sourceLocation
        ) async throws {
            let left = try FileManager.default.contentsOfDirectory(atPath: domain.folder)
                .filter { !images.contains($0) && $0 != "domain.xml" && $0 != "full" }
            #expect(left.isEmpty, sourceLocation: location)
            #expect(try await Virsh.snapshots(of: domain.uuid).isEmpty, sourceLocation: location)
        }
    }
}
