// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Subprocess
import Testing

/// The restore test from the snapshot itself, seen from outside: what the clone's QEMU has open, and what is left of it.
extension Lab.Base {
    @Test("a clone recovers every engine without a network and without touching an image, and is gone afterwards")
    func clone() async throws {
        let guest = try LabGuest.current
        try await Program.succeed(LabGuest.lab, "load", guest.name, "start")
        let taken = try await guest.stillpoint("snapshot", guest.name, "--exclude", "vde", "--name", "cloned", "--json")
        try await Program.succeed(LabGuest.lab, "load", guest.name, "stop")
        let images = try FrozenImage.all(of: try taken.json).map(\.image)
        let before = try await sums(of: images)

        async let verifying = guest.stillpoint(
            "verify", guest.name, "cloned", "--level", "application", "--json", within: .seconds(650))
        let words = try await Clones.commandLine(of: guest)
        #expect(words.contains { $0.contains("clone") && $0.contains("vda.qcow2") }, "\(words)")
        for word in words {
            #expect(!word.contains("netdev") && !word.contains("-net") && !word.contains("hostdev"), "\(word)")
            for image in images where word.contains(image) {
                // libvirt has two nodes a layer: the file's opens as the format's above it does, and that only reads.
                let node = try #require(try JSONValue(parsing: word)["node-name"]?.string)
                let above = try #require(words.first { $0.contains("\"file\":\"\(node)\"") })
                #expect(word.contains("\"auto-read-only\":true") && above.contains("\"read-only\":true"), "\(above)")
            }
        }
        for image in images { #expect(words.contains { $0.contains(image) }, "\(image) is not in the clone's chain") }
        // As long as it runs, nothing may be merged into what it stands on.
        let commit = try await guest.stillpoint("commit", guest.name, "--json")
        try expectFailure(commit, 20, "\(guest.name)-verify-", isJSON: true)

        let verified = try await verifying
        try #require(verified.exit == 0, "\(verified)")
        let report = try verified.json
        #expect(report["application"]?["result"] == "ok")
        let applications = report["clone"]?["applications"]?.array ?? []
        let engines = Set(applications.compactMap { $0["name"]?.string })
        #expect(engines == ["mysql", "postgresql", "redis", "sqlite"], "\(verified)")
        for application in applications { #expect(application["check"]?["result"] == "ok", "\(application)") }
        let mariadb = try #require(applications.first { $0["name"] == "mysql" })
        #expect(mariadb["recorded"]?["gtid"] == mariadb["recovered"]?["gtid"])

        #expect(try await sums(of: images) == before)
        #expect(try await Clones.left(of: guest) == [])
        let row = try await guest.stillpoint("list", guest.name, "--json").json["snapshots"]?.array?.first
        #expect(row?["verified"]?["level"] == "application" && row?["verified"]?["result"] == "ok")
        #expect(try await guest.stillpoint("show", guest.name, "cloned").output.contains("application ok"))
        let due = try await guest.stillpoint("verify", "--all", "--every", "7d", "--level", "application", "--json")
        #expect(try due.exit == 0 && due.json["notDue"] == 1, "\(due)")
        #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
    }

    @Test("of a verify that was killed nothing is left after the next one, and one that gets no time is not checked")
    func killedClone() async throws {
        let guest = try LabGuest.current
        let taken = try await guest.stillpoint("snapshot", guest.name, "--no-hooks", "--name", "killed")
        #expect(taken.exit == 0, "\(taken)")
        let killed = try await guest.stillpoint(
            "verify", guest.name, "--level", "application",
            interrupt: .init(text: "starting", signal: .kill, delay: .seconds(3)))
        #expect(killed.exit == 128 + 9, "\(killed)")
        #expect(try await Clones.left(of: guest).contains { $0.contains("/stillpoint-clone-") })
        let short = try await guest.stillpoint(
            "verify", guest.name, "--level", "application", "--timeout", "2s", "--half-memory", "--json")
        #expect(short.exit == 10, "\(short)")
        #expect(short.lastLine.contains("did not answer within 2 s"))
        #expect(try short.json["clone"]?["console"]?.array != nil)
        #expect(try await Clones.left(of: guest) == [])
        let interrupted = try await guest.stillpoint(
            "verify", guest.name, "--level", "application",
            interrupt: .init(text: "starting", signal: .interrupt, delay: .seconds(2)))
        #expect(interrupted.exit == 130, "\(interrupted)")
        #expect(try await Clones.left(of: guest) == [])
        #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
    }

    private func sums(of images: [String]) async throws -> String {
        try await Program.succeed(["sha256sum", "--"] + images, within: .seconds(120))
    }
}

/// Clones as the host sees them.
enum Clones {
    /// The words of the QEMU of a guest's clone, as soon as it runs.
    static func commandLine(of guest: LabGuest) async throws -> [String] {
        let script = """
            for _ in {1..300}; do
                for process in /proc/[0-9]*; do
                    [[ $(tr '\\0' ' ' <"$process/cmdline" 2>/dev/null) == *"guest=$1-verify-"* ]] || continue
                    tr '\\0' '\\n' <"$process/cmdline"
                    exit
                done
                sleep 0.1
            done
            exit 1
            """
        return try await Program.succeed("bash", "-c", script, "bash", guest.name, within: .seconds(60))
            .split(separator: "\n").map(String.init)
    }

    /// Domains and folders.
    static func left(of guest: LabGuest) async throws -> [String] {
        let names = try await Virsh.run("list", "--all", "--name").split(separator: "\n").map(String.init)
        let domains = names.filter { $0.hasPrefix("\(guest.name)-verify-") }
        // Other runs on this machine may have clones too: those of this guest are named by what they stand on.
        let folders = (try? FileManager.default.contentsOfDirectory(atPath: "/var/tmp")) ?? []
        var found = domains
        for folder in folders where folder.hasPrefix("stillpoint-clone-") {
            let path = "/var/tmp/\(folder)"
            let backing = try? await Program.run("qemu-img", ["info", "-U", "\(path)/vda.qcow2"])
            if backing?.output.contains("\(guest.folder)/") != false { found.append(path) }
        }
        return found
    }
}
