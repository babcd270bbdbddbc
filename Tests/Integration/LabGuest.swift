// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

/// A real guest of the lab, with the command under test beside it and a state folder of its own.
struct LabGuest: Sendable {
    enum Shape: String, Sendable {
        case base, storage, plain

        /// Where filesystems are mounted that can be frozen.
        var mountpoints: [String] {
            switch self {
            case .plain: ["/"]
            case .base: ["/", "/var/lib/postgresql", "/var/lib/mysql", "/srv/data", "/srv/scratch"]
            case .storage: ["/", "/srv/xfs", "/srv/btrfs", "/srv/lv", "/srv/lv2", "/srv/scratch"]
            }
        }
    }

    @TaskLocal static var running: LabGuest?
    static var current: LabGuest { get throws { try #require(running) } }

    static let lab = "\(Place.repository)/Tests/Lab/lab"

    let shape: Shape
    let name: String
    let stillpoint: Stillpoint
    /// Target and image of each disk, as the lab made them.
    let disks: [String: String]
    /// Where the images lie.
    let folder: String
    private let files: Set<String>

    static func up(_ shape: Shape) async throws -> LabGuest {
        let stillpoint = try Stillpoint()
        let name = "\(Place.guestPrefix)-\(shape.rawValue)"
        try await Program.succeed(lab, "up", shape.rawValue, name, within: .seconds(900))
        let disks = try await Virsh.disks(of: name)
        let root = try #require(disks["vda"])
        let folder = (root as NSString).deletingLastPathComponent
        let files = try FileManager.default.contentsOfDirectory(atPath: folder)
        return LabGuest(
            shape: shape, name: name, stillpoint: stillpoint, disks: disks, folder: folder, files: Set(files))
    }

    func down() async {
        do {
            let uuid = try await Virsh.run("domuuid", name)
            try await Program.succeed(Self.lab, "down", name)
            stillpoint.forget(uuid)
        } catch {
            Issue.record(error, "\(name) could not be taken down")
        }
    }

    /// The command under test.
    func stillpoint(
        _ arguments: String..., within limit: Duration = Stillpoint.longest, interrupt: Program.Interruption? = nil
    ) async throws -> Program.Ended {
        try await stillpoint.run(arguments, within: limit, interrupt: interrupt)
    }

    /// A POSIX sh script in the guest, through the agent; what it prints.
    @discardableResult
    func sh(_ script: String, _ arguments: String...) async throws -> String {
        let ended = try await Program.run(Self.lab, ["exec", name, "--", "sh", "-c", script, "sh"] + arguments)
        guard ended.exit == 0 else { throw Program.Failed(ended: ended) }
        return ended.text
    }

    /// A script that goes on in the guest by itself, outside the agent's control group.
    func background(_ unit: String, _ script: String) async throws {
        try await sh("systemd-run --quiet --collect --unit=\"$1\" sh -c \"$2\"", unit, script)
    }

    /// A line typed at the guest's serial console, where a shell of root waits: needs no agent. Returns when it has run.
    func type(_ line: String) async throws {
        let script = """
            exec 3<>"$1"
            stty -F "$1" raw -echo
            # QEMU looks for an opened terminal once a second.
            until printf '\\n' >&3 && IFS= read -r -t 0.5 -n 1 _ <&3; do :; done
            printf '%s; echo "typed" and run\\n' "$2" >&3
            while IFS= read -r -t 60 told <&3; do [[ $told != *"typed and run"* ]] || exit 0; done
            exit 1
            """
        let console = try await Virsh.run("ttyconsole", name)
        try await Program.succeed("bash", "-c", script, "bash", console, line)
    }

    /// The agent answers.
    func awaitAgent(within limit: Duration = .seconds(120)) async throws {
        try await Self.awaitAgent(of: name, within: limit)
    }

    /// That of any domain.
    static func awaitAgent(of domain: String, within limit: Duration) async throws {
        let script = """
            until virsh --quiet qemu-agent-command "$1" --timeout 5 '{"execute":"guest-ping"}' >/dev/null 2>&1; do sleep 0.2; done
            """
        try await Program.succeed("bash", "-c", script, "bash", domain, within: limit)
    }

    /// Every filesystem takes a write that reaches its disk: none is frozen.
    func probe() async throws {
        let script = """
            for m; do timeout 5 dd if=/dev/zero of="$m/.probe" bs=512 count=1 conv=fsync status=none || exit 1; done
            for m; do rm "$m/.probe"; done
            """
        let ended = try await Program.run(
            Self.lab, ["exec", name, "--", "sh", "-c", script, "sh"] + shape.mountpoints, within: .seconds(30))
        guard ended.exit == 0 else { throw Program.Failed(ended: ended) }
    }

    /// What a test left behind, each thing in words; empty when the guest is as the lab made it.
    func leftovers() async throws -> [String] {
        var found: [String] = []
        for (target, image) in try await Virsh.disks(of: name) where disks[target] != image {
            found.append("\(target) writes to \(image)")
        }
        for (target, image) in try await Virsh.disks(of: name, saved: true) where disks[target] != image {
            found.append("\(target) is saved with \(image)")
        }
        for file in try FileManager.default.contentsOfDirectory(atPath: folder) where !files.contains(file) {
            found.append("file \(folder)/\(file)")
        }
        found += try await Virsh.snapshots(of: name).map { "snapshot \($0) in libvirt" }
        if try await Virsh.run("dumpxml", name).contains("stillpoint.dev/owner") { found.append("an owner record") }
        found += Processes.naming(folder).filter { !$0.contains("qemu-system") }.map { "process \($0)" }
        found += Processes.naming(stillpoint.state).map { "process \($0)" }
        do {
            try await probe()
            let inside = try await sh("ls -A /run/stillpoint 2>/dev/null || :; cat /sys/kernel/rcu_expedited")
            if inside != "0" { found.append("in the guest: \(inside)") }
        } catch {
            found.append("frozen, or its agent does not answer: \(error)")
        }
        let status = try await stillpoint("status", name, "--json").json
        found += (status["unfinished"]?.array ?? []).map { "unfinished: \($0.string ?? "?")" }
        return found
    }

    /// As the lab made it, by whatever works: one failed test shall not take the others with it.
    func restore() async {
        _ = try? await type("rm -f /etc/qemu/qemu-ga.conf; pkill -CONT qemu-ga; systemctl restart qemu-guest-agent")
        _ = try? await awaitAgent()
        _ = try? await Virsh.agent(name, #"{"execute":"guest-fsfreeze-thaw"}"#)
        _ = try? await stillpoint("thaw", name, "--foreign")
        _ = try? await stillpoint("commit", name, "--all")
        for snapshot in (try? await Virsh.snapshots(of: name)) ?? [] {
            _ = try? await Virsh.run("snapshot-delete", name, snapshot, "--metadata")
        }
        for file in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] where !files.contains(file) {
            try? FileManager.default.removeItem(atPath: "\(folder)/\(file)")
        }
    }
}
