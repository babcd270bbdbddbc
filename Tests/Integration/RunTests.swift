// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Subprocess
import Testing

extension Lab {
    @Suite("run: a command on the frozen disks, and the commit whatever became of it")
    struct Run {
        private func run(
            _ domain: BareDomain, _ options: [String] = [], _ command: String...,
            interrupt: Program.Interruption? = nil
        ) async throws -> Program.Ended {
            try await domain.stillpoint.run(
                ["run", domain.name, "--no-freeze"] + options + ["--"] + command, interrupt: interrupt)
        }

        @Test("the command reads what was there at the cut, flat, while the guest writes on; then all is merged")
        func reads() async throws {
            try await HandedOver.with { domain in
                // What the guest writes meanwhile, it writes through QEMU.
                let script = """
                    set -e
                    test "$0" = --shutdown=now # not an option of ours
                    virsh --quiet qemu-monitor-command "$STILLPOINT_DOMAIN" --hmp \\
                        "qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend \\"write -P 34 0 64k\\"" >/dev/null
                    head -c 65536 "$STILLPOINT_DISK_vda" | tr -d '\\021' | wc -c
                    stat -c %s "$STILLPOINT_DISK_vdb"
                    echo "$STILLPOINT_FORMAT_vda $STILLPOINT_DISKS $STILLPOINT_CONSISTENCY"
                    test -s "$STILLPOINT_MANIFEST"; test "$STILLPOINT_FOLDER/vda.raw" = "$STILLPOINT_DISK_vda"
                    if echo x 2>/dev/null >"$STILLPOINT_DISK_vda"; then echo writable; fi
                    """
                let ended = try await run(domain, [], "sh", "-c", script, "--shutdown=now")
                #expect(ended.exit == 0, "\(ended)")
                #expect(ended.lines == ["0", "16777216", "raw vda vdb crash"])
                let image = try #require(try await Virsh.disks(of: domain.name)["vda"])
                let written = try await Program.succeed("qemu-io", "-U", "-r", "-c", "read -P 34 0 64k", image)
                #expect(!written.contains("failed"))
            }
        }

        @Test("with --images it gets the image files, with --json one object whose command has its status")
        func images() async throws {
            try await HandedOver.with { domain in
                let image = try #require(try await Virsh.disks(of: domain.name)["vda"])
                let ended = try await run(
                    domain, ["--images", "--json", "--name", "nightly"], "sh", "-c",
                    #"[ "$STILLPOINT_DISK_vda" = "$0" ] && [ "$STILLPOINT_FORMAT_vda" = qcow2 ] && echo "$STILLPOINT_SNAPSHOT""#,
                    image)
                #expect(ended.exit == 0, "\(ended)")
                let told = try ended.json
                #expect(told["schema"]?.string == "stillpoint.run/v1" && told["command"]?["exit"]?.integer == 0)
                #expect(told["commit"]?["snapshots"]?.array?.compactMap(\.string) == ["nightly"])
                #expect(ended.errors.contains("nightly"))
            }
        }

        @Test("a command that fails is 40 with its status, and merged all the same", arguments: [1, 7, 255])
        func fails(_ status: Int) async throws {
            try await HandedOver.with { domain in
                let ended = try await run(domain, ["--json"], "sh", "-c", "exit \(status)")
                try expectFailure(ended, 40, "exit status \(status)", isJSON: true)
                #expect(try ended.json["command"]?["exit"]?.integer == Int64(status))
                #expect(try await run(domain, ["--pass-exit"], "sh", "-c", "exit \(status)").exit == Int32(status))
            }
        }

        @Test("so is one that is killed")
        func killed() async throws {
            try await HandedOver.with { domain in
                try expectFailure(try await run(domain, [], "sh", "-c", "kill -9 $$"), 40, "signal 9")
            }
        }

        @Test("a command that is not there is 127, one that cannot be run 126, none 64; nothing is done")
        func noCommand() async throws {
            try await HandedOver.with { domain in
                try expectFailure(
                    try await run(domain, ["--json"], "nosuch-program"), 127, "nosuch-program", isJSON: true)
                try expectFailure(try await run(domain, ["--json"], "/etc/passwd"), 126, "/etc/passwd", isJSON: true)
                try expectFailure(try await run(domain, ["--json"], "/tmp"), 126, "/tmp", isJSON: true)
                try expectFailure(
                    try await domain.stillpoint("run", domain.name, "--json"), 64, "command", isJSON: true)
                #expect(try await domain.stillpoint("list", domain.name, "--json").json["snapshots"]?.array == [])
            }
        }

        @Test("Ctrl-C ends the command and merges", arguments: [2, 15])
        func interrupted(_ number: Int32) async throws {
            try await HandedOver.with { domain in
                let wish = Program.Interruption(text: "ready", signal: number == 2 ? .interrupt : .terminate)
                let ended = try await run(domain, [], "sh", "-c", "echo ready >&2; exec sleep 60", interrupt: wish)
                #expect(ended.exit == 128 + number, "\(ended)")
                #expect(Processes.naming("sleep 60").isEmpty)
            }
        }

        @Test("kill -9 leaves the snapshot, which list names; the command dies too, and end merges")
        func killedItself() async throws {
            try await HandedOver.with { domain in
                let wish = Program.Interruption(text: "ready", signal: .kill)
                let ended = try await run(
                    domain, ["--name", "left"], "sh", "-c", "echo ready >&2; exec sleep 61", interrupt: wish)
                #expect(ended.exit == 137, "\(ended)")
                try await gone("sleep 61")
                #expect(try await domain.stillpoint("list", domain.name).output.contains("a process that is gone"))
                #expect(try await domain.stillpoint("doctor", domain.name).output.contains("stillpoint end"))
                let end = try await domain.stillpoint("end", domain.name, "--json")
                #expect(end.exit == 0, "\(end)")
                #expect(try end.json["snapshot"]?.string == "left")
                #expect(try await domain.stillpoint("end", domain.name).exit == 0)
            }
        }

        @Test("what a killed run left is ended by the next one")
        func endedByNext() async throws {
            try await HandedOver.with { domain in
                let wish = Program.Interruption(text: "ready", signal: .kill)
                _ = try await run(
                    domain, ["--name", "left"], "sh", "-c", "echo ready >&2; exec sleep 62", interrupt: wish)
                try await gone("sleep 62")
                let next = try await run(domain, [], "true")
                #expect(next.exit == 0 && next.errors.contains("left"), "\(next)")
            }
        }

        /// The kernel ends it with its parent, not at the same instant.
        private func gone(_ command: String) async throws {
            try await Program.succeed(
                "bash", "-c", "for _ in {1..100}; do pgrep -f \"^$1\" >/dev/null || exit 0; sleep 0.05; done; exit 1",
                "bash", command)
        }
    }

    @Suite("begin and end: a job of two steps")
    struct BeginEnd {
        private func begin(_ domain: BareDomain, _ options: String...) async throws -> Program.Ended {
            try await domain.stillpoint.run(["begin", domain.name, "--no-freeze"] + options)
        }

        @Test("both may be called twice; between them nothing is merged; the steps find each other by their label")
        func twice() async throws {
            try await HandedOver.with { domain in
                let first = try await begin(domain, "--label", "it's nightly", "--output", "env")
                #expect(first.exit == 0, "\(first)")
                let script =
                    #"eval "$(cat "$0")"; head -c 65536 "$STILLPOINT_DISK_vda" | tr -d '\021' | wc -c; echo "$STILLPOINT_LABEL""#
                let file = "\(domain.folder)/env"
                try Data(first.output.utf8).write(to: URL(filePath: file))
                #expect(try await Program.succeed("sh", "-c", script, file) == "0\nit's nightly")

                let again = try await begin(domain, "--label", "it's nightly", "--output", "env")
                #expect(again.exit == 0 && again.output == first.output, "\(again)")
                try expectFailure(
                    try await domain.stillpoint(
                        "begin", domain.name, "--label", "it's nightly", "--require", "filesystem", "--json"), 20,
                    "reached crash", isJSON: true)
                try expectFailure(
                    try await domain.stillpoint("commit", domain.name, "--json"), 20, "it's nightly", isJSON: true)
                let pruned = try await domain.stillpoint("prune", domain.name, "--keep", "0", "--json")
                #expect(pruned.exit == 0, "\(pruned)")
                #expect(try pruned.json["kept"]?.array?.first?["reason"]?.string?.contains("it is begun") == true)
                #expect(try await domain.stillpoint("list", domain.name).output.contains("begun"))
                #expect(try await domain.stillpoint("doctor", domain.name).output.contains("it's nightly"))

                let other = try await begin(domain, "--label", "second", "--json")
                #expect(other.exit == 0, "\(other)")
                let run = try #require(try other.json["run"]?.string)
                try expectFailure(
                    try await domain.stillpoint("end", domain.name, "--json"), 64, "say which", isJSON: true)
                let end = try await domain.stillpoint("end", domain.name, run, "--json")
                #expect(end.exit == 0, "\(end)")
                #expect(try end.json["label"]?.string == "second")
                for count in [1, 0] {
                    let end = try await domain.stillpoint("end", domain.name, "--label", "it's nightly", "--json")
                    #expect(end.exit == 0, "\(end)")
                    #expect(try end.json["commit"]?["snapshots"]?.array?.count ?? 0 == count)
                }
            }
        }

        @Test("whoever shows the disks is killed: the next begin shows them again, at the same place")
        func takenUp() async throws {
            try await HandedOver.with { domain in
                let first = try await begin(domain, "--label", "x", "--output", "env")
                #expect(first.exit == 0, "\(first)")
                for process in Processes.naming("\(domain.stillpoint.state)/export") {
                    kill(try #require(pid_t(process.prefix { $0 != " " })), SIGKILL)
                }
                let again = try await begin(domain, "--label", "x", "--json")
                #expect(again.exit == 0, "\(again)")
                #expect(try again.json["takenUp"]?.bool == true)
                let place = try #require(try again.json["exported"]?.array?.first?["place"]?.string)
                #expect(first.output.contains("STILLPOINT_DISK_vda='\(place)'"))
                #expect(try HandedOver.head(of: place) == HandedOver.head)
                #expect(try await domain.stillpoint("end", domain.name, "--label", "x").exit == 0)
            }
        }

        @Test("the time that --ttl gives is over: the next command ends it")
        func overdue() async throws {
            try await HandedOver.with { domain in
                let first = try await begin(domain, "--label", "x", "--ttl", "1s", "--name", "first")
                #expect(first.exit == 0, "\(first)")
                try await Program.succeed("sleep", "1.1")
                let next = try await begin(domain, "--label", "x", "--json")
                #expect(next.exit == 0 && next.errors.contains("first"), "\(next)")
                #expect(try next.json["takenUp"]?.bool == false)
                #expect(try await domain.stillpoint("end", domain.name).exit == 0)
            }
        }

        @Test("begun on a guest that is off by the time of end: merged all the same")
        func off() async throws {
            try await HandedOver.with { domain in
                #expect(try await begin(domain).exit == 0)
                try await Virsh.run("destroy", domain.name)
                let end = try await domain.stillpoint("end", domain.name)
                #expect(end.exit == 0, "\(end)")
                try await Virsh.run("start", domain.name)
            }
        }

        @Test("of a guest that is off, as a run is; inside the images nothing could be handed over")
        func cold() async throws {
            try await HandedOver.with { domain in
                try await Virsh.run("destroy", domain.name)
                let words = ["sh", "-c", #"head -c 65536 "$STILLPOINT_DISK_vda" | tr -d '\021' | wc -c"#]
                let ran = try await domain.stillpoint.run(["run", domain.name, "--no-freeze", "--"] + words)
                #expect(ran.exit == 0 && ran.lines == ["0"], "\(ran)")
                #expect(try await begin(domain).exit == 0)
                #expect(try await domain.stillpoint("end", domain.name).exit == 0)
                for word in [["begin", domain.name], ["run", domain.name, "--", "true"]] {
                    let inside = try await domain.stillpoint.run(
                        [word[0]] + ["--internal", "--json"] + word.dropFirst())
                    try expectFailure(inside, 64, "--internal", isJSON: true)
                }
                try await Virsh.run("start", domain.name)
            }
        }

        @Test("a label or a time that cannot be one is 64")
        func bad() async throws {
            try await HandedOver.with { domain in
                for words in [
                    ["--label", ""], ["--label", "a\nb"], ["--ttl", "0s"], ["--ttl", "soon"], ["--output", "xml"],
                ] {
                    let ended = try await domain.stillpoint.run(["begin", domain.name, "--no-freeze"] + words)
                    #expect(ended.exit == 64, "\(ended)")
                }
                let end = try await domain.stillpoint("end", domain.name, "nonsense", "--json")
                try expectFailure(end, 64, "nonsense", isJSON: true)
            }
        }
    }
}
