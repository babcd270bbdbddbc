// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

/// `Deploy/examples` with the real backup programs.
enum Example: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case restic, borg

    static let folder = "\(Place.repository)/Deploy/examples"

    var testDescription: String { rawValue }

    /// A repository of its own in `$0`, `$1` what is done with it.
    private var verbs: String {
        switch self {
        case .restic:
            """
            export RESTIC_REPOSITORY=$0/repository RESTIC_PASSWORD_FILE=$0/password RESTIC_CACHE_DIR=$0/cache
            case $1 in
                init) echo secret >"$RESTIC_PASSWORD_FILE"; restic --quiet init ;;
                backup) shift; exec "$@" ;;
                restore) restic --quiet restore latest --target "$0/restored" ;;
            esac
            """
        case .borg:
            """
            export BORG_REPO=$0/repository BORG_BASE_DIR=$0/borg BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes
            case $1 in
                init) borg init --encryption none ;;
                backup) shift; exec "$@" ;;
                restore) mkdir "$0/restored"; cd "$0/restored"; borg extract --sparse "::$(borg list --short --last 1)" ;;
            esac
            """
        }
    }

    /// The example's own script, with `stillpoint` on the path as it would be installed.
    func backup(_ domain: String, _ stillpoint: Stillpoint, to place: String, _ options: String...) async throws {
        try await call(place, ["init"])
        let ended = try await call(
            place, ["backup", "\(Self.folder)/\(rawValue)", domain] + options,
            path: try Self.install(stillpoint, below: place))
        #expect(ended.errors.contains("running sh"), "\(ended)")
    }

    /// - Returns: the restored file of each disk, by its target, and the manifest's folder.
    func restore(from place: String) async throws -> (disks: [String: String], papers: String) {
        try await call(place, ["restore"])
        let found = try await Program.succeed(
            "find", "\(place)/restored", "-name", "*.raw", "-o", "-name", "manifest.json")
        var disks: [String: String] = [:]
        var papers = ""
        for path in found.split(separator: "\n").map(String.init) {
            let file = URL(filePath: path)
            if file.pathExtension == "raw" {
                disks[file.deletingPathExtension().lastPathComponent] = path
            } else {
                papers = file.deletingLastPathComponent().path
            }
        }
        return (disks, papers)
    }

    /// `stillpoint`, with the state folder of the test.
    static func install(_ stillpoint: Stillpoint, below folder: String) throws -> String {
        let bin = "\(folder)/bin"
        try FileManager.default.createDirectory(atPath: bin, withIntermediateDirectories: true)
        let file = "\(bin)/stillpoint"
        try Data("#!/bin/sh\nexec '\(stillpoint.binary)' --state-dir '\(stillpoint.state)' \"$@\"\n".utf8)
            .write(to: URL(filePath: file))
        chmod(file, 0o755)
        return "\(bin):\(ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")"
    }

    @discardableResult
    private func call(_ place: String, _ words: [String], path: String? = nil) async throws -> Program.Ended {
        let ended = try await Program.run(
            "bash", ["-euc", verbs, place] + words, in: path.map { ["PATH": $0] } ?? [:], within: .seconds(600))
        guard ended.exit == 0 else { throw Program.Failed(ended: ended) }
        return ended
    }
}

extension Lab {
    @Suite("the examples, on a domain without a guest in it")
    struct Examples {
        @Test("what comes back is what was there at the cut, byte by byte", arguments: Example.allCases)
        func bytes(_ example: Example) async throws {
            try await HandedOver.with { domain in
                let place = "\(domain.folder)/vault"
                try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
                try await example.backup(domain.name, domain.stillpoint, to: place, "--no-freeze")
                let (disks, papers) = try await example.restore(from: place)
                #expect(Set(disks.keys) == ["vda", "vdb"])
                #expect(FileManager.default.fileExists(atPath: "\(papers)/manifest.json"))
                for (target, image) in try await Virsh.disks(of: domain.name) {
                    let file = try #require(disks[target])
                    try await Program.succeed("qemu-img", "compare", "-U", "-f", "raw", "-F", "qcow2", file, image)
                }
            }
        }

        @Test("rsync copies the disks and the manifest, and the second time what changed")
        func rsync() async throws {
            try await HandedOver.with { domain in
                let place = "\(domain.folder)/vault"
                try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
                let path = try Example.install(domain.stillpoint, below: domain.folder)
                for pattern in ["0x44", "0x55"] {
                    try await domain.write(pattern, 1 << 20, "64k")
                    let ended = try await Program.run(
                        "\(Example.folder)/rsync", [domain.name, "\(place)/", "--no-freeze"], in: ["PATH": path])
                    #expect(ended.exit == 0, "\(ended)")
                    let image = try #require(try await Virsh.disks(of: domain.name)["vda"])
                    try await Program.succeed(
                        "qemu-img", "compare", "-U", "-f", "raw", "-F", "qcow2", "\(place)/vda.raw", image)
                    #expect(FileManager.default.fileExists(atPath: "\(place)/manifest.json"))
                }
                // A target that cannot be written is rsync's failure, and the snapshot is merged.
                let failed = try await Program.run(
                    "\(Example.folder)/rsync", [domain.name, "/proc/nowhere/", "--no-freeze"], in: ["PATH": path])
                try expectFailure(failed, 40, "exit status")
            }
        }
    }
}

extension Lab.Base {
    @Test(
        "restic and borg: backed up under load, restored and booted, with every row acknowledged before",
        arguments: Example.allCases)
    func backedUp(_ example: Example) async throws {
        let guest = try LabGuest.current
        let place = try Place.makeFolder(in: "/var/tmp")
        defer { try? FileManager.default.removeItem(atPath: place) }
        try await Program.succeed(LabGuest.lab, "load", guest.name, "start")
        let acknowledged = try await Rows.acknowledged(in: guest.name)
        try await example.backup(guest.name, guest.stillpoint, to: place, "--require", "application")
        try await Program.succeed(LabGuest.lab, "load", guest.name, "stop")
        let (disks, papers) = try await example.restore(from: place)
        #expect(Set(disks.keys) == ["vda", "vdb", "vdc", "vdd", "vde"])
        let manifest = try JSONValue(parsing: String(contentsOfFile: "\(papers)/manifest.json", encoding: .utf8))
        #expect(manifest["verdict"]?["consistency"]?.string == "application")
        // The flat files beside the papers are a copy that `restore` takes.
        for file in disks.values { try await Program.succeed("mv", file, papers) }
        try await RestoredGuest.expect(
            acknowledged, from: "\(papers)/manifest.json", in: place, by: guest, lendsKernel: true)
    }
}
