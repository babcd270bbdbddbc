// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Subprocess
import Testing

/// A run that is ended outright while its freeze is under way: whoever is left thaws.
extension Lab.Plain {
    /// The freeze takes four seconds longer, so that it is surely under way some two seconds after the run has announced it.
    private func killed(
        _ guest: LabGuest, alsoGuardian: Bool = false, _ check: () async throws -> Void
    ) async throws {
        try await hook(guest, "sleep 4")
        let guardian = Task {
            guard alsoGuardian else { return }
            // The moment it is there, so that it is gone before it can act.
            while Processes.naming("stillpoint-guard").isEmpty { try await Task.sleep(for: .milliseconds(20)) }
            try await Task.sleep(for: .milliseconds(500))
        }
        let ended = try await guest.stillpoint(
            "snapshot", guest.name, "--name", "killed", "--max-freeze", "8s",
            interrupt: .init(text: "freezing", signal: .kill, delay: .milliseconds(2500)))
        #expect(ended.exit == 128 + SIGKILL, "\(ended)")
        if alsoGuardian { try await Program.succeed("pkill", "-KILL", "-x", "stillpoint-guar") }
        try await guardian.value
        try await check()
        let unfinished = try await guest.stillpoint("status", guest.name, "--json").json["unfinished"]?.array
        #expect(unfinished?.count == 1)
        let blocked = try await guest.stillpoint("snapshot", guest.name, "--no-freeze", "--json")
        try expectFailure(blocked, 75, "killed", isJSON: true)
        let recovered = try await guest.stillpoint("recover", guest.name, "--json")
        #expect(recovered.exit == 0, "\(recovered)")
        let steps = try recovered.json["guests"]?.array?.first?["runs"]?.array?.first?["did"]?.array ?? []
        #expect(steps.contains { $0["step"] == "discard" }, "\(recovered)")
        #expect(try await guest.stillpoint("recover").text == "nothing to recover")
        try await unhook(guest)
    }

    private func untilGone(_ program: String, within limit: Duration) async throws {
        let end = ContinuousClock.now + limit
        while !Processes.naming(program).isEmpty {
            try #require(ContinuousClock.now < end, "\(program) is still there")
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    @Test("a run that is killed with the freeze under way is thawed by its guardian, which then ends")
    func killedRun() async throws {
        let guest = try LabGuest.current
        try await killed(guest) {
            try await untilGone("stillpoint-guard", within: .seconds(30))
            try await guest.probe()
            let notes = try FileManager.default.subpathsOfDirectory(atPath: guest.stillpoint.state)
                .filter { $0.hasSuffix("/guard") }
            let words = try notes.map { try String(contentsOfFile: "\(guest.stillpoint.state)/\($0)", encoding: .utf8) }
            #expect(words.contains { $0.hasPrefix("orphaned: thaw confirmed") }, "\(words)")
        }
    }

    @Test("a run that is killed together with its guardian is thawed by the dead-man inside the guest")
    func killedBoth() async throws {
        let guest = try LabGuest.current
        try await killed(guest, alsoGuardian: true) {
            #expect(Processes.naming("stillpoint-guard").isEmpty)
            // --max-freeze and 5 s, by the guest's own clock from the freeze on.
            try await Task.sleep(for: .seconds(15))
            try await guest.probe()
        }
    }

    @Test("a run that stands still is thawed by its guardian at the deadline, and calls nothing consistent")
    func stopped() async throws {
        let guest = try LabGuest.current
        try await hook(guest, "sleep 4")
        let uuid = try await Virsh.run("domuuid", guest.name)
        let waking = Task {
            while !Processes.naming("stillpoint-guard").contains(where: { $0.contains(uuid) }) {
                try await Task.sleep(for: .milliseconds(50))
            }
            try await untilGone("stillpoint-guard", within: .seconds(60))
            try await guest.probe()
            try await Program.succeed("pkill", "-CONT", "-f", guest.stillpoint.state)
        }
        let ended = try await guest.stillpoint(
            "snapshot", guest.name, "--json", "--max-freeze", "8s",
            interrupt: .init(text: "freezing", signal: .suspend, delay: .milliseconds(2500)))
        try await waking.value
        let report = try ended.json
        #expect([11, 21, 22].contains(ended.exit), "\(ended)")
        #expect(report.consistency != "filesystem" && report.consistency != "application")
        if ended.exit == 11 { #expect(try await guest.stillpoint("commit", guest.name).exit == 0) }
        try await unhook(guest)
    }

    @Test("the guardian has a session of its own and no descriptor but its own")
    func descriptors() async throws {
        let guest = try LabGuest.current
        try await hook(guest, "sleep 4")
        let looking = Task { () -> (ids: String, files: [String]) in
            var found = Processes.naming("stillpoint-guard")
            while found.isEmpty {
                try await Task.sleep(for: .milliseconds(20))
                found = Processes.naming("stillpoint-guard")
            }
            // Its start is over when the run says that it freezes; the hook gives us four seconds.
            try await Task.sleep(for: .seconds(2))
            let script = #"p=$(pgrep -x stillpoint-guar) && ps -o sid=,pid= -p "$p" && readlink /proc/$p/fd/*"#
            let lines = try await Program.succeed("bash", "-c", script).split(separator: "\n").map(String.init)
            return (lines.first ?? "", Array(lines.dropFirst()))
        }
        let ended = try await guest.stillpoint("drill", guest.name, "--no-hooks", "--max-freeze", "8s")
        #expect(ended.exit == 0, "\(ended)")
        let (ids, files) = try await looking.value
        let numbers = ids.split(separator: " ")
        #expect(numbers.count == 2 && numbers.first == numbers.last, "session and process: \(ids)")
        #expect(files.count { $0 == "/dev/null" } == 3, "\(files)")
        // A write end of somebody's pipe would keep that from its end: of sockets there are the run's and libvirt's.
        #expect(!files.contains { $0.hasPrefix("pipe:") } && files.count { $0.hasPrefix("socket:") } == 2, "\(files)")
        let ours = files.filter { $0.contains("/") && $0 != "/dev/null" && !$0.hasPrefix("anon_inode") }
        #expect(ours.allSatisfy { $0.contains("/guard") || $0.contains("/lock/") }, "\(files)")
        try await unhook(guest)
    }
}
