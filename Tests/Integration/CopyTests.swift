// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
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
    }
}

/// A domain without a guest whose snapshot `s1` is copied: of its first disk the chain is two layers deep.
enum Copied {
    static func withSnapshot(_ body: (BareDomain, [FrozenImage]) async throws -> Void) async throws {
        try await HandedOver.with { domain in
            let first = try await domain.stillpoint(
                "snapshot", domain.name, "--no-freeze", "--disk", "vda", "--name", "s0")
            #expect(first.exit == 0, "\(first)")
            try await domain.write(0x22, to: 0, at: 64)
            try await domain.write(0x33, to: 1)
            let taken = try await domain.stillpoint("snapshot", domain.name, "--no-freeze", "--name", "s1", "--json")
            #expect(taken.exit == 0, "\(taken)")
            #expect(try taken.json.disks.first?["chain"]?.array?.count == 2)
            // After the cut: in no copy.
            try await domain.write(0x44, to: 0, at: 64)
            try await body(domain, try FrozenImage.all(of: try taken.json))
            let committed = try await domain.stillpoint("commit", domain.name, "--all")
            #expect(committed.exit == 0, "\(committed)")
        }
    }

    static func images(in folder: String, _ targets: [String]) -> [FrozenImage] {
        targets.map { FrozenImage(target: $0, image: "\(folder)/\($0).qcow2", format: "qcow2") }
    }

    /// Of what a guest would read.
    static func contentSums(of images: [FrozenImage]) async throws -> [String] {
        try await Place.withFolder { folder in
            var sums: [String] = []
            for image in images {
                sums.append(String(try await Program.succeed("sha256sum", try await image.flat(in: folder)).prefix(64)))
            }
            return sums
        }
    }
}
