// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Subprocess
import Testing

/// What a dead run left, on real domains without an operating system: the journal is put back to where the run would have
/// died, or the run is really killed.
extension Lab.Plain {
    private static let images = ["one.qcow2", "two.qcow2"]

    private func database(_ domain: BareDomain, _ statement: String) async throws {
        try await Program.succeed("sqlite3", "\(domain.stillpoint.state)/stillpoint.db", statement)
    }

    /// Nothing of ours beside the images, and a second recovery has nothing to do.
    private func expectTidy(_ domain: BareDomain, also files: [String] = []) async throws {
        #expect(try await domain.stillpoint("recover").text == "nothing to recover")
        let found = try FileManager.default.contentsOfDirectory(atPath: domain.folder).sorted()
        #expect(found == (["domain.xml"] + Self.images + files).sorted())
        #expect(try await domain.stillpoint("status", domain.name, "--json").json["unfinished"] == .array([]))
        #expect(try await !Virsh.run("dumpxml", domain.name).contains("stillpoint.dev/owner"))
    }

    @Test("a run that dies after its cut is adopted: listed, in virsh, with a manifest in both places, and commits")
    func adopted() async throws {
        try await BareDomain.with { domain in
            #expect(try await domain.stillpoint("snapshot", domain.name, "--no-freeze", "--name", "s1").exit == 0)
            // As if it had died before it registered: its last entry is the end of the window.
            try await database(
                domain,
                """
                UPDATE run SET ending = NULL; DELETE FROM snapshot; DELETE FROM step WHERE step LIKE '%registering%'
                """)
            try await Virsh.run("snapshot-delete", domain.name, "s1", "--metadata")
            try FileManager.default.removeItem(atPath: "\(domain.stillpoint.state)/runs")
            try FileManager.default.removeItem(atPath: "\(domain.folder)/.stillpoint")

            for command in [["snapshot", domain.name, "--no-freeze"], ["commit", domain.name]] {
                let refused = try await domain.stillpoint.run(command + ["--json"])
                try expectFailure(refused, 75, "s1", isJSON: true)
                #expect(refused.errors.contains("stillpoint recover \(domain.name)"))
            }
            let dry = try await domain.stillpoint("recover", "--dry-run")
            #expect(dry.exit == 0 && dry.output.contains("would adopt"), "\(dry)")
            #expect(try await domain.stillpoint("list", domain.name, "--names").text.isEmpty)

            let recovered = try await domain.stillpoint("recover")
            #expect(recovered.exit == 0, "\(recovered)")
            #expect(try await Virsh.snapshots(of: domain.name) == ["s1"])
            let row = try await domain.stillpoint("list", domain.name, "--json").json["snapshots"]?.array?.first
            #expect(row?["standing"] == "current" && row?["consistency"] == "crash" && row?["inLibvirt"] == true)
            #expect(try await domain.stillpoint("verify", domain.name, "s1", "--level", "chain").exit == 0)
            let manifest = try await domain.stillpoint("show", domain.name, "s1", "--json").json
            #expect(manifest.targets == ["vda", "vdb"] && manifest["exit"] == 0)
            try await expectTidy(domain, also: [".stillpoint", "one.s1", "two.s1"])
            #expect(try await domain.stillpoint("commit", domain.name).exit == 0)
            try await expectTidy(domain)
        }
    }

    @Test(
        "wherever a snapshot is killed, recover leaves either all of it or nothing, and both say so",
        arguments: ["making the overlays", "cutting", "registering", "verifying"])
    func killedAnywhere(_ word: String) async throws {
        try await BareDomain.with { domain in
            let killed = try await domain.stillpoint.run(
                ["snapshot", domain.name, "--no-freeze", "--name", "s1"], interrupt: .init(text: word, signal: .kill))
            let recovered = try await domain.stillpoint("recover", domain.name)
            #expect(recovered.exit == 0, "\(killed) \(recovered)")
            let isOnOverlays = try await Virsh.disks(of: domain.name)["vda"]?.hasSuffix(".s1") == true
            #expect(try await domain.stillpoint("list", domain.name, "--names").lines == (isOnOverlays ? ["s1"] : []))
            #expect(try await Virsh.snapshots(of: domain.name) == (isOnOverlays ? ["s1"] : []))
            try await expectTidy(domain, also: isOnOverlays ? [".stillpoint", "one.s1", "two.s1"] : [])
        }
    }

    @Test("a commit that is killed while it copies leaves its job running, and recover takes it up to its end")
    func killedCommit() async throws {
        try await BareDomain.with(size: "64M") { domain in
            #expect(try await domain.stillpoint("snapshot", domain.name, "--no-freeze", "--name", "s1").exit == 0)
            try await domain.write("5", 0, "40M")
            let killed = try await domain.stillpoint.run(
                ["commit", domain.name, "--bandwidth", "4M"],
                interrupt: .init(text: "merging vda", signal: .kill))
            #expect(killed.exit == 128 + SIGKILL, "\(killed)")
            #expect(try await domain.stillpoint("jobs", domain.name, "--json").json["jobs"]?.array?.isEmpty == false)
            let recovered = try await domain.stillpoint("recover", domain.name, "--json")
            #expect(recovered.exit == 0, "\(recovered)")
            #expect(try await Virsh.disks(of: domain.name)["vda"]?.hasSuffix("one.qcow2") == true)
            #expect(try await Virsh.snapshots(of: domain.name).isEmpty)
            try await expectTidy(domain)
            try await Virsh.run("destroy", domain.name)
            try await Program.succeed(
                "qemu-io", "-r", "-f", "qcow2", "-c", "read -P 5 0 40M", "\(domain.folder)/one.qcow2")
        }
    }

    @Test("a guest that loses its power in the middle of a commit keeps its overlays, which are whole")
    func powerLost() async throws {
        try await BareDomain.with(size: "64M") { domain in
            #expect(try await domain.stillpoint("snapshot", domain.name, "--no-freeze", "--name", "s1").exit == 0)
            try await domain.write("5", 0, "40M")
            _ = try await domain.stillpoint.run(
                ["commit", domain.name, "--disk", "vda", "--bandwidth", "1M"],
                interrupt: .init(text: "merging vda", signal: .kill))
            try await Virsh.run("destroy", domain.name)
            let recovered = try await domain.stillpoint("recover", domain.name)
            #expect(recovered.exit == 0 && recovered.output.contains("one.s1 stays"), "\(recovered)")
            #expect(try await domain.stillpoint("recover").text == "nothing to recover")
            try await Program.succeed(
                "qemu-io", "-r", "-f", "qcow2", "-c", "read -P 5 0 40M", "\(domain.folder)/one.s1")
            try await Virsh.run("start", domain.name)
            #expect(try await domain.stillpoint("commit", domain.name).exit == 0)
            try await expectTidy(domain)
        }
    }

    @Test("a commit whose guest loses its power says so, and merges the same overlays of the guest that is off")
    func powerLostBeside() async throws {
        try await BareDomain.with(size: "64M") { domain in
            #expect(try await domain.stillpoint("snapshot", domain.name, "--no-freeze", "--name", "s1").exit == 0)
            try await domain.write("5", 0, "40M")
            async let commit = domain.stillpoint("commit", domain.name, "--bandwidth", "1M")
            for _ in 0..<400 where try await !Virsh.run("dumpxml", domain.name).contains("<mirror") {
                try await Task.sleep(for: .milliseconds(50))
            }
            try await Virsh.run("destroy", domain.name)
            let ended = try await commit
            #expect(ended.exit == 22 && ended.errors.contains("\(domain.name) went off"), "\(ended)")
            #expect(try await domain.stillpoint("recover", domain.name).exit == 0)
            #expect(try await domain.stillpoint("commit", domain.name).exit == 0)
            try await Program.succeed(
                "qemu-io", "-r", "-f", "qcow2", "-c", "read -P 5 0 40M", "\(domain.folder)/one.qcow2")
            try await Virsh.run("start", domain.name)
            try await expectTidy(domain)
        }
    }

    @Test("a saved definition that has forgotten the overlays is quarantine, and --repair puts it right")
    func forgotten() async throws {
        try await BareDomain.with { domain in
            let before = try await Virsh.run("dumpxml", domain.name, "--inactive", "--security-info")
            #expect(try await domain.stillpoint("snapshot", domain.name, "--no-freeze", "--name", "s1").exit == 0)
            // What a daemon that died between the cut and its own save has on disk.
            let file = "\(domain.folder)/domain.xml"
            try Data(before.utf8).write(to: URL(filePath: file))
            try await Virsh.run("define", file)
            for command in [
                ["snapshot", domain.name, "--no-freeze"], ["commit", domain.name], ["recover", domain.name],
            ] {
                let refused = try await domain.stillpoint.run(command)
                try expectFailure(refused, 25, "vda")
                #expect(refused.errors.contains("stillpoint recover \(domain.name) --repair"), "\(refused)")
                #expect(!refused.errors.contains("shutdown") && !refused.errors.contains("destroy"))
            }
            #expect(try await domain.stillpoint("doctor", domain.name).output.contains("--repair"))
            let dry = try await domain.stillpoint("recover", domain.name, "--repair", "--dry-run")
            #expect(dry.exit == 25 && dry.output.contains("one.s1"), "\(dry)")
            let repaired = try await domain.stillpoint("recover", domain.name, "--repair")
            #expect(repaired.exit == 0, "\(repaired)")
            #expect(try await Virsh.disks(of: domain.name, saved: true)["vda"]?.hasSuffix("one.s1") == true)
            let after = try await Virsh.run("dumpxml", domain.name, "--inactive", "--security-info")
            #expect(after.replacing(".s1'", with: ".qcow2'").withoutChains == before.withoutChains)
            #expect(try await domain.stillpoint("commit", domain.name).exit == 0)
            try await expectTidy(domain)
        }
    }
}

extension String {
    /// libvirt writes the layers below into a definition once it has read the headers.
    fileprivate var withoutChains: String {
        var text = self
        while let start = text.range(of: "<backingStore"), let end = text.range(of: "</backingStore>") {
            guard start.lowerBound < end.upperBound else { break }
            text.removeSubrange(start.lowerBound..<end.upperBound)
        }
        return text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }
}
