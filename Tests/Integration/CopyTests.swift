// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Subprocess
import Testing

extension Lab {
    @Suite("a snapshot is copied and restored")
    struct Copies {
        @Test("flat images that hold what the chains hold; the restored guest boots from the same; the snapshot stays")
        func roundTrip() async throws {
            try await Copied.withSnapshot { domain, frozen in
                let folder = "\(domain.folder)/backup"
                let dry = try await domain.stillpoint("copy", domain.name, folder, "--dry-run", "--json")
                #expect(try dry.exit == 0 && dry.json["isDryRun"] == true, "\(dry)")
                #expect(!FileManager.default.fileExists(atPath: folder))
                let copied = try await domain.stillpoint("copy", domain.name, "s1", folder, "--verify", "--json")
                try #require(copied.exit == 0, "\(copied)")
                #expect(copied.errors.contains("copying vda: "), "\(copied)")
                let report = try copied.json
                #expect(report["schema"] == "stillpoint.copy/v1" && report["isVerified"] == true)
                #expect(report["disks"]?.array?.compactMap { $0["file"]?.string } == ["vda.qcow2", "vdb.qcow2"])
                try await Program.succeed(
                    "sh", "-c", "cd \"$1\" && sha256sum --check --strict SHA256SUMS", "sh", folder)
                #expect(
                    try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == [
                        "SHA256SUMS", "copy.json", "domain.xml", "manifest.json", "vda.qcow2", "vdb.qcow2",
                    ])
                for disk in report["disks"]?.array ?? [] {
                    let file = try #require(disk["file"]?.string)
                    let sum = try await Program.succeed("sha256sum", "\(folder)/\(file)").prefix(64)
                    #expect(disk["sha256"]?.string == String(sum))
                    let info = try JSONValue(
                        parsing: try await Program.succeed("qemu-img", "info", "--output=json", "\(folder)/\(file)"))
                    #expect(info["backing-filename"] == nil && info["virtual-size"] == 16_777_216)
                }
                let sums = try await Copied.contentSums(of: frozen)
                let copies = Copied.images(in: folder, ["vda", "vdb"])
                #expect(try await Copied.contentSums(of: copies) == sums)

                let name = "\(Place.guestPrefix)-restored"
                let place = "\(domain.folder)/restored"
                let preview = try await domain.stillpoint(
                    "restore", "\(folder)/manifest.json", "--as", name, "--to", place, "--dry-run", "--json")
                #expect(preview.exit == 0 && !FileManager.default.fileExists(atPath: place), "\(preview)")
                let restored = try await domain.stillpoint(
                    "restore", "\(folder)/manifest.json", "--as", name, "--to", place, "--json")
                try #require(restored.exit == 0, "\(restored)")
                do {
                    #expect(try await Virsh.run("domstate", name) == "shut off")
                    #expect(
                        try await Virsh.disks(of: name) == ["vda": "\(place)/vda.qcow2", "vdb": "\(place)/vdb.qcow2"])
                    #expect(try await Virsh.run("domuuid", name) != domain.uuid)
                    #expect(try await Copied.contentSums(of: Copied.images(in: place, ["vda", "vdb"])) == sums)
                    try await Virsh.run("start", name)
                    #expect(try await Virsh.run("domstate", name) == "running")
                    let again = try await domain.stillpoint(
                        "restore", "\(folder)/manifest.json", "--as", name, "--json")
                    try expectFailure(again, 20, name, "already", isJSON: true)
                } catch {
                    Issue.record(error)
                }
                _ = try? await Virsh.run("destroy", name)
                try await Virsh.run("undefine", name)
            }
        }

        @Test("without another name it wants the original gone, and has its name and UUID back; from raw files too")
        func original() async throws {
            try await Copied.withSnapshot { domain, frozen in
                let folder = "\(domain.folder)/backup"
                let place = "\(domain.folder)/restored"
                let copied = try await domain.stillpoint("copy", domain.name, folder, "--format", "raw", "--json")
                try #require(copied.exit == 0, "\(copied)")
                let disk = try #require(try copied.json["disks"]?.array?.first)
                #expect(
                    disk["fileBytes"] == 16_777_216 && (disk["allocatedBytes"]?.integer ?? .max) < 1 << 20, "\(disk)")
                let refused = try await domain.stillpoint("restore", "\(folder)/manifest.json", "--to", place, "--json")
                try expectFailure(refused, 20, domain.name, "already", isJSON: true)
                let sums = try await Copied.contentSums(of: frozen)

                let definition = "\(domain.folder)/inactive.xml"
                let xml = try await Virsh.run("dumpxml", "--inactive", domain.name)
                try Data(xml.utf8).write(to: URL(filePath: definition))
                try await Virsh.run("destroy", domain.name)
                try await Virsh.run("undefine", domain.name, "--snapshots-metadata")
                let restored = try await domain.stillpoint(
                    "restore", "\(folder)/manifest.json", "--to", place, "--json")
                #expect(restored.exit == 0, "\(restored)")
                #expect(try await Virsh.run("domuuid", domain.name) == domain.uuid)
                #expect(try restored.json["domain"]?["uuid"]?.string == domain.uuid)
                #expect(try await Copied.contentSums(of: Copied.images(in: place, ["vda", "vdb"], .raw)) == sums)
                try await Virsh.run("undefine", domain.name)
                try await Virsh.run("define", definition)
                try await Virsh.run("start", domain.name)
            }
        }

        @Test("the files of export and the papers of the run are a copy too, whose images nobody can check")
        func gathered() async throws {
            try await Copied.withSnapshot { domain, frozen in
                let shown = "\(domain.folder)/shown"
                let folder = "\(domain.folder)/backup"
                let export = try await domain.stillpoint("export", domain.name, "--fuse", shown, "--detach")
                #expect(export.exit == 0, "\(export)")
                let run = try #require(
                    try await domain.stillpoint("show", domain.name, "s1", "--json").json["run"]?.string)
                try await Program.succeed("mkdir", folder)
                try await Program.succeed(
                    "sh", "-c", "cp --sparse=always \"$1\"/* \"$2\"/* \"$3\"", "sh", shown,
                    "\(domain.stillpoint.state)/runs/\(run)", folder)
                #expect(try await domain.stillpoint("export", "--stop").exit == 0)
                let name = "\(Place.guestPrefix)-restored"
                let place = "\(domain.folder)/restored"
                let restored = try await domain.stillpoint(
                    "restore", "\(folder)/manifest.json", "--as", name, "--to", place, "--json")
                try #require(restored.exit == 0, "\(restored)")
                try await Virsh.run("undefine", name)
                #expect(try restored.json["unchecked"]?.array?.compactMap(\.string) == ["vda", "vdb"])
                let images = Copied.images(in: place, ["vda", "vdb"], .raw)
                #expect(try await Copied.contentSums(of: images) == Copied.contentSums(of: frozen))
            }
        }

        @Test(
            "UEFI variables go with it, and the restored guest has them as its own",
            .enabled(if: FileManager.default.fileExists(atPath: "/usr/share/OVMF/OVMF_VARS_4M.fd"), "package ovmf"))
        func variables() async throws {
            let firmware = """
                <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>\
                <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>/var/tmp/stillpoint-it-\(getpid())/vars.fd</nvram>
                """
            try await BareDomain.with(images: ["one.qcow2"], firmware: firmware) { domain in
                #expect(try await domain.stillpoint("snapshot", domain.name, "--no-freeze", "--name", "s1").exit == 0)
                let folder = "\(domain.folder)/backup"
                let copied = try await domain.stillpoint("copy", domain.name, folder, "--json")
                try #require(copied.exit == 0, "\(copied)")
                #expect(try copied.json["papers"]?.array?.contains("nvram.fd") == true)
                #expect(try await domain.stillpoint("commit", domain.name).exit == 0)
                let name = "\(Place.guestPrefix)-restored"
                let place = "\(domain.folder)/restored"
                let restored = try await domain.stillpoint(
                    "restore", "\(folder)/manifest.json", "--as", name, "--to", place)
                try #require(restored.exit == 0, "\(restored)")
                try await Program.succeed("cmp", "\(folder)/nvram.fd", "\(place)/nvram.fd")
                let xml = try await Virsh.run("dumpxml", name)
                let started = try? await Virsh.run("start", name)
                _ = try? await Virsh.run("destroy", name)
                try await Virsh.run("undefine", name, "--nvram")
                #expect(started != nil && xml.contains("\(place)/nvram.fd"), "\(xml)")
            }
        }

        @Test(
            "Ctrl-C leaves nothing; while it runs the snapshot is not merged; what a killed one has left is no hindrance"
        )
        func interrupted() async throws {
            try await Copied.withSnapshot(filled: true) { domain, _ in
                let folder = "\(domain.folder)/backup"
                async let copying = domain.stillpoint.run(
                    ["copy", domain.name, folder, "--bandwidth", "1M"],
                    interrupt: .init(text: "copying vda", signal: .interrupt, delay: .seconds(3)))
                try await Copied.until {
                    try await domain.stillpoint("list", domain.name).output.contains("being copied")
                }
                let commit = try await domain.stillpoint("commit", domain.name, "--json")
                try expectFailure(commit, 20, "being copied to \(folder)", isJSON: true)
                let copied = try await copying
                try expectFailure(copied, 130, "interrupted")
                #expect(!domain.images.contains { $0.contains("backup") || $0.contains("stillpoint-new") })
                let killed = try await domain.stillpoint.run(
                    ["copy", domain.name, folder, "--bandwidth", "1M"],
                    interrupt: .init(text: "copying vda", signal: .kill, delay: .seconds(1)))
                #expect(killed.exit == 137)
                #expect(!FileManager.default.fileExists(atPath: folder))
                try await Copied.until { !Processes.naming(domain.folder).contains { $0.contains("qemu-img") } }
                let left = try #require(domain.images.first { $0.hasPrefix(".stillpoint-new") })
                #expect(try await domain.stillpoint("copy", domain.name, folder, "--compress").exit == 0)
                #expect(!domain.images.contains(left))
            }
        }

        @Test("a place that cannot be used is refused, what is there stays, and a full one is told before and during")
        func badPlaces() async throws {
            try await Copied.withSnapshot(filled: true) { domain, _ in
                let full = "\(domain.folder)/full"
                try await Program.succeed("mkdir", full)
                try Data("mine".utf8).write(to: URL(filePath: "\(full)/file"))
                for (place, words) in [
                    (full, "something is in it"), ("\(full)/file", "already"), ("/proc/x", "/proc"),
                    ("/nonexistent/a", "No such file"), ("\(full)/file/x", "Not a directory"),
                ] {
                    let ended = try await domain.stillpoint("copy", domain.name, place, "--json")
                    try expectFailure(ended, 20, words, isJSON: true)
                }
                #expect(try FileManager.default.contentsOfDirectory(atPath: full) == ["file"])
                try expectFailure(
                    try await domain.stillpoint("copy", domain.name, "s1", "--json"), 64, "no folder", isJSON: true)
                try expectFailure(
                    try await domain.stillpoint("copy", domain.name, "nosuch", "/x", "--json"), 66, "nosuch",
                    isJSON: true)

                let small = "\(domain.folder)/small"
                try await Program.succeed("mkdir", small)
                try await Program.succeed("mount", "-t", "tmpfs", "-o", "size=128k,mode=755", "none", small)
                let before = try await domain.stillpoint("copy", domain.name, "\(small)/x", "--json")
                let during = try await domain.stillpoint("copy", domain.name, "\(small)/x", "--compress", "--json")
                let mounted = try await domain.stillpoint("copy", domain.name, small, "--json")
                try await Program.succeed("mount", "-o", "remount,ro", small)
                let readOnly = try await domain.stillpoint("copy", domain.name, "\(small)/x", "--json")
                let left = try FileManager.default.contentsOfDirectory(atPath: small)
                try await Program.succeed("umount", small)
                try expectFailure(before, 20, "left, and the disks take up to", isJSON: true)
                try expectFailure(during, 20, "No space left", isJSON: true)
                try expectFailure(readOnly, 77, "Read-only file system", isJSON: true)
                try expectFailure(mounted, 20, "another filesystem is mounted there", isJSON: true)
                #expect(left.isEmpty)
            }
        }

        @Test("a copy that was changed, or that libvirt does not take, is refused and leaves nothing")
        func badCopies() async throws {
            try await Copied.withSnapshot { domain, _ in
                let folder = "\(domain.folder)/backup"
                let place = "\(domain.folder)/restored"
                let name = "\(Place.guestPrefix)-restored"
                #expect(try await domain.stillpoint("copy", domain.name, folder).exit == 0)
                func expect(_ status: Int32, _ words: String..., at location: SourceLocation = #_sourceLocation)
                    async throws
                {
                    let ended = try await domain.stillpoint(
                        "restore", "\(folder)/manifest.json", "--as", name, "--to", place, "--json")
                    try expectFailure(ended, status, isJSON: true, at: location)
                    for word in words { #expect(ended.lastLine.contains(word), "\(ended)", sourceLocation: location) }
                    #expect(!FileManager.default.fileExists(atPath: place), sourceLocation: location)
                    #expect(!domain.images.contains { $0.contains("stillpoint-new") }, sourceLocation: location)
                    let known = try await Program.run("virsh", ["domuuid", name])
                    #expect(known.exit != 0, sourceLocation: location)
                }
                func change(_ script: String) async throws {
                    try await Program.succeed("sh", "-euc", "cd \"$1\"; \(script)", "sh", folder)
                }
                let taken = try await domain.stillpoint(
                    "restore", "\(folder)/manifest.json", "--as", name, "--to", folder, "--json")
                try expectFailure(taken, 20, "something is in it", isJSON: true)
                let stopped = try await domain.stillpoint.run(
                    ["restore", "\(folder)/manifest.json", "--as", name, "--to", place],
                    interrupt: .init(text: "checking vda", signal: .terminate))
                try expectFailure(stopped, 143, "interrupted")
                #expect(!FileManager.default.fileExists(atPath: place))
                let seal = "sha256sum *[!S] >sums; mv sums SHA256SUMS"
                try await change(
                    "cp vdb.qcow2 ../kept; printf x | dd of=vdb.qcow2 bs=1 seek=70000 conv=notrunc status=none")
                try await expect(24, "vdb.qcow2", "its digest differs")
                try await change(
                    "cp ../kept vdb.qcow2; qemu-img rebase -u -f qcow2 -b /etc/shadow -F raw vdb.qcow2; \(seal)")
                try await expect(20, "vdb.qcow2 lies on another image")
                try await change(
                    "mv ../kept vdb.qcow2; sed -i \"s/machine='[^']*'/machine='abacus'/; s/machine=\\\"[^\\\"]*\\\"/machine=\\\"abacus\\\"/\" domain.xml; \(seal)"
                )
                try await expect(20, "abacus")
            }
        }
    }
}
