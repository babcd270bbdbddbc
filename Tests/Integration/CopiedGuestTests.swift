// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

extension Lab.Base {
    @Test(
        "copied under load, committed, restored under another name and booted: every row acknowledged before is there")
    func restoredCopy() async throws {
        let guest = try LabGuest.current
        let place = try Place.makeFolder(in: "/var/tmp")
        chmod(place, 0o711)
        defer { try? FileManager.default.removeItem(atPath: place) }
        let name = "\(Place.guestPrefix)-back"
        try await Program.succeed(LabGuest.lab, "load", guest.name, "start")
        var acknowledged: [String: Int] = [:]
        try await Copied.until {
            acknowledged = try await Rows.acknowledged(in: guest.name)
            return acknowledged.count == 4 && acknowledged.values.allSatisfy { $0 > 0 }
        }
        let taken = try await guest.stillpoint("snapshot", guest.name, "--json")
        // On a busy host a database may not be had in time: what is durable is in the images all the same.
        try #require([0, 10].contains(taken.exit), "\(taken)")
        let copied = try await guest.stillpoint(
            "copy", guest.name, "\(place)/copy", "--compress", "--verify", "--json", within: .seconds(600))
        try await Program.succeed(LabGuest.lab, "load", guest.name, "stop")
        #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
        try #require(copied.exit == 0, "\(copied)")
        let restored = try await guest.stillpoint(
            "restore", "\(place)/copy/manifest.json", "--as", name, "--to", "\(place)/guest", "--json",
            within: .seconds(600))
        try #require(restored.exit == 0, "\(restored)")
        let result: Result<Void, any Error>
        do {
            #expect(try await !Virsh.run("dumpxml", name).contains("<interface"))
            try await Virsh.run("start", name)
            // The lab's own commands work on domains with its mark.
            try await Virsh.run(
                "metadata", name, "https://stillpoint.dev/lab/1", "--key", "lab", "--set", "<lab/>", "--live")
            try await Self.awaitAgent(of: name)
            try await Program.succeed(LabGuest.lab, "exec", name, "--", "systemctl", "start", "lab-base.target")
            let present = try await Rows.present(in: name)
            for (engine, number) in acknowledged {
                #expect(try #require(present[engine]) >= number, "\(engine): acknowledged \(number)")
            }
            let times = [try copied.json, try restored.json].map { $0["tookMs"]?.integer.map(String.init) ?? "?" }
            let bytes = try copied.json["disks"]?.array?.compactMap { $0["fileBytes"]?.integer }.reduce(0, +) ?? 0
            print("copied \(bytes) bytes in \(times[0]) ms, restored in \(times[1]) ms, \(acknowledged), \(present)")
            result = .success(())
        } catch {
            result = .failure(error)
        }
        _ = try? await Virsh.run("destroy", name)
        try await Virsh.run("undefine", name)
        try result.get()
    }

    private static func awaitAgent(of domain: String) async throws {
        let script = """
            for _ in {1..600}; do
                virsh --quiet qemu-agent-command "$1" --timeout 5 '{"execute":"guest-ping"}' >/dev/null 2>&1 && exit
                sleep 0.3
            done
            exit 1
            """
        try await Program.succeed("bash", "-c", script, "bash", domain, within: .seconds(400))
    }
}
