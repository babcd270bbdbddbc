// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Subprocess
import Testing

extension Lab {
    @Suite("a guest whose agent fails, a run that is stopped, a freeze by hand", .guest(.plain), .nothingLeft)
    struct Plain {
        @Test("without an agent a snapshot is refused, and --no-freeze takes one that says crash")
        func noAgent() async throws {
            let guest = try LabGuest.current
            try await guest.type("systemctl stop qemu-guest-agent")
            let refused = try await guest.stillpoint("snapshot", guest.name, "--json")
            try expectFailure(refused, 20, "agent", "not running", isJSON: true)
            #expect(refused.output.contains("--no-freeze") || refused.errors.contains("--no-freeze"))
            let doctor = try await guest.stillpoint("doctor", guest.name, "--json")
            #expect(doctor.exit == 20)
            #expect(try doctor.json.codes(weighing: "fix") == ["agent.notConnected"])
            let taken = try await guest.stillpoint("snapshot", guest.name, "--no-freeze", "--json")
            #expect(taken.exit == 0, "\(taken)")
            #expect(try taken.json.consistency == "crash")
            #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
            try await guest.type("systemctl start qemu-guest-agent")
            try await guest.awaitAgent()
        }

        @Test("an agent that hangs before the freeze is refused within seconds, and nothing was frozen")
        func silentAgent() async throws {
            let guest = try LabGuest.current
            try await guest.type("pkill -STOP qemu-ga")
            let refused = try await guest.stillpoint("snapshot", guest.name, "--json", within: .seconds(30))
            try expectFailure(refused, 20, "does not answer", isJSON: true)
            try await guest.type("pkill -CONT qemu-ga")
            try await guest.awaitAgent()
        }

        @Test("an agent that hangs in the freeze is thawed when it comes back, and nothing is called consistent")
        func hangsInFreeze() async throws {
            let guest = try LabGuest.current
            try await hook(
                guest,
                """
                (sleep 8; kill -CONT $ga) >/dev/null 2>&1 </dev/null &
                kill -STOP $ga
                """)
            let taken = try await guest.stillpoint("snapshot", guest.name, "--json")
            try expectFailure(taken, 21, "thawed", isJSON: true)
            #expect(try taken.json.consistency == "none")
            try await unhook(guest)
        }

        @Test("an agent that is killed in the window comes back by systemd, and the guest is thawed")
        func killedInWindow() async throws {
            let guest = try LabGuest.current
            // The agent makes that file just before the first filesystem is frozen.
            try await hook(
                guest,
                """
                (until [ -e /run/qga.state.isfrozen ]; do :; done; kill -KILL $ga) >/dev/null 2>&1 </dev/null &
                """)
            let taken = try await guest.stillpoint("snapshot", guest.name, "--json", "--max-freeze", "20s")
            let report = try taken.json
            switch taken.exit {
            case 0: #expect(report.consistency == "filesystem" && report.thawed == report.frozen)
            case 11: #expect(report.consistency == "crash" && !report.reasons.isEmpty)
            default: try expectFailure(taken, 21, "thawed", isJSON: true)
            }
            try await guest.awaitAgent()
            try await guest.probe()
            if taken.exit != 21 { #expect(try await guest.stillpoint("commit", guest.name).exit == 0) }
            try await unhook(guest)
        }

        @Test("a hook's child writes to a frozen disk: it alone waits, and what is held is proved all the same")
        func writesWhileFrozen() async throws {
            let guest = try LabGuest.current
            // The child's every write is on the disk before the next; so is the one that the thaw lets through.
            let service = """
                #!/bin/sh
                # path: /srv/app
                case $1 in
                freeze)
                    rm -f /run/app-thawed
                    setsid sh -c 'until [ -e /run/app-thawed ]; do cat /proc/uptime >>/srv/app/log; sync -d /srv/app/log; done
                        echo end >>/srv/app/log' >/dev/null 2>&1 </dev/null &
                    ;;
                thaw) : >/run/app-thawed ;;
                esac
                """
            try await guest.sh(
                """
                mkdir -p /srv/app /etc/stillpoint/service.d && : >/srv/app/log
                printf '%s\\n' "$1" >/etc/stillpoint/service.d/app && chmod 755 /etc/stillpoint/service.d/app
                """, service)
            let taken = try await guest.stillpoint("snapshot", guest.name, "--json")
            #expect(taken.exit == 0, "\(taken)")
            let report = try taken.json
            #expect(report.consistency == "application" && report.applications.contains("service"))
            #expect(report.frozen == 1 && report.thawed == 1)
            try await guest.sh("until tail -n 1 /srv/app/log | grep -q end; do sleep 0.1; done")
            #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
            try await guest.sh("rm -r /srv/app /etc/stillpoint /run/app-thawed")
        }

        /// Without a phase it comes while the guest is still being looked at.
        @Test(
            "Ctrl-C ends in a thawed guest without a trace, whenever it comes",
            arguments: [
                nil, "making the overlays", "preparing the guest", "freezing", "registering", "verifying",
            ])
        func interrupted(_ phase: String?) async throws {
            let guest = try LabGuest.current
            let ended = try await guest.stillpoint(
                "snapshot", guest.name, "--json", interrupt: .init(text: phase, signal: .interrupt))
            try expectFailure(ended, 130, isJSON: true)
            #expect(try ended.json.consistency == "none")
            #expect(try await Virsh.snapshots(of: guest.name).isEmpty)
        }

        @Test("SIGTERM is 143 and SIGHUP 129")
        func terminated() async throws {
            let guest = try LabGuest.current
            let term = try await guest.stillpoint(
                "snapshot", guest.name, interrupt: .init(text: "freezing", signal: .terminate))
            try expectFailure(term, 143)
            let hangup = try await guest.stillpoint(
                "snapshot", guest.name, interrupt: .init(text: "preparing the guest", signal: .terminalClosed))
            try expectFailure(hangup, 129)
        }

        @Test("a freeze by hand ends with its lease, and thaw then says that it did not hold")
        func lease() async throws {
            let guest = try LabGuest.current
            let frozen = try await guest.stillpoint("freeze", guest.name, "--lease", "5s", "--json")
            #expect(frozen.exit == 0, "\(frozen)")
            #expect(try frozen.json["mountpoints"] == ["/"] && frozen.json["frozen"] == 1)
            let status = try await guest.stillpoint("status", guest.name, "--json").json
            #expect(status["freeze"] == "frozen" && status["unfinished"]?.array?.count == 1)
            // Runs only when the filesystem takes writes again.
            try await guest.type("date >/root/written && sync -f /root")
            let thawed = try await guest.stillpoint("thaw", guest.name, "--json")
            #expect(thawed.exit == 0, "\(thawed)")
            #expect(try thawed.json["held"] == false && thawed.json["thawed"] == 0)
        }

        @Test("thaw ends a freeze by hand that held, and has nothing to do a second time")
        func thaw() async throws {
            let guest = try LabGuest.current
            #expect(try await guest.stillpoint("freeze", guest.name, "--lease", "60s").exit == 0)
            try expectFailure(try await guest.stillpoint("snapshot", guest.name, "--json"), 20, isJSON: true)
            let thawed = try await guest.stillpoint("thaw", guest.name, "--json")
            #expect(thawed.exit == 0, "\(thawed)")
            #expect(try thawed.json["held"] == true && thawed.json["thawed"] == 1)
            let again = try await guest.stillpoint("thaw", guest.name, "--json")
            #expect(again.exit == 0, "\(again)")
            #expect(try again.json["thawed"]?.isNull == true)
        }

        @Test("another's freeze is left alone: snapshot, freeze and thaw are refused, thaw --foreign ends it")
        func foreignFreeze() async throws {
            let guest = try LabGuest.current
            #expect(try await Virsh.agent(guest.name, #"{"execute":"guest-fsfreeze-freeze"}"#)["return"] == 1)
            for command in ["snapshot", "freeze", "thaw"] {
                let refused = try await guest.stillpoint(command, guest.name, "--json")
                try expectFailure(refused, 20, "frozen", isJSON: true)
            }
            let status = try await Virsh.agent(guest.name, #"{"execute":"guest-fsfreeze-status"}"#)
            #expect(status["return"] == "frozen")
            let thawed = try await guest.stillpoint("thaw", guest.name, "--foreign", "--json")
            #expect(thawed.exit == 0, "\(thawed)")
            #expect(try thawed.json["thawed"] == 1)
        }

        @Test("two runs on one guest never overlap: the second is busy, or waits for its turn with --wait")
        func twoRuns() async throws {
            let guest = try LabGuest.current
            async let one = guest.stillpoint("snapshot", guest.name, "--no-freeze", "--name", "one", "--json")
            async let two = guest.stillpoint("snapshot", guest.name, "--no-freeze", "--name", "two", "--json")
            let both = try await [one, two].sorted { $0.exit < $1.exit }
            #expect(both[0].exit == 0, "\(both)")
            try expectFailure(both[1], 75, "busy", isJSON: true)

            async let three = guest.stillpoint(
                "snapshot", guest.name, "--no-freeze", "--name", "three", "--wait", "60s")
            async let four = guest.stillpoint("snapshot", guest.name, "--no-freeze", "--name", "four", "--wait", "60s")
            for ended in try await [three, four] { #expect(ended.exit == 0, "\(ended)") }
            #expect(try await Virsh.snapshots(of: guest.name).count == 3)
            #expect(try await guest.stillpoint("commit", guest.name, "--all").exit == 0)
        }

        @Test("a plan and a dry run change nothing, and events come one a line with the report last")
        func plannedAndStreamed() async throws {
            let guest = try LabGuest.current
            let plan = try await guest.stillpoint("plan", guest.name, "--json")
            #expect(plan.exit == 0, "\(plan)")
            #expect(try plan.json["freeze"] == ["/"] && plan.json["schema"] == "stillpoint.plan/v1")
            #expect(try await guest.stillpoint("snapshot", guest.name, "--dry-run").exit == 0)
            #expect(try await guest.leftovers().isEmpty)

            let taken = try await guest.stillpoint("snapshot", guest.name, "--no-freeze", "--json-stream")
            #expect(taken.exit == 0, "\(taken)")
            let values = try taken.lines.map { try JSONValue(parsing: $0) }
            #expect(values.last?["schema"] == "stillpoint.run/v1")
            #expect(values.dropLast().compactMap { $0["seq"]?.integer } == Array(1..<Int64(values.count)))
            #expect(values.compactMap { $0["phase"]?.string } == ["stage", "cut", "register", "verify"])
            #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
        }

        /// qemu-ga runs this just before it freezes; `$ga` is its process.
        func hook(_ guest: LabGuest, _ script: String) async throws {
            let file = """
                #!/bin/sh
                [ "$1" = freeze ] || exit 0
                ga=$(pidof qemu-ga)
                \(script)
                """
            try await guest.sh(
                """
                mkdir -p /etc/qemu
                printf '%s\\n' "$1" >/usr/local/sbin/hook && chmod +x /usr/local/sbin/hook
                printf '[general]\\nfsfreeze-hook=/usr/local/sbin/hook\\n' >/etc/qemu/qemu-ga.conf
                sync
                """, file)
            try await restartAgent(guest)
        }

        func unhook(_ guest: LabGuest) async throws {
            try await guest.sh("rm /etc/qemu/qemu-ga.conf /usr/local/sbin/hook")
            try await restartAgent(guest)
        }

        private func restartAgent(_ guest: LabGuest) async throws {
            try await guest.type("systemctl restart qemu-guest-agent")
            try await guest.awaitAgent()
            // On a busy host libvirt hears that the old one has gone when the new one has answered already.
            try await Task.sleep(for: .milliseconds(500))
            try await guest.awaitAgent()
        }
    }
}

extension JSONValue {
    /// The codes of a doctor's or plan's findings.
    func codes(weighing weight: String) -> [String] {
        (self["findings"]?.array ?? []).filter { $0["weight"]?.string == weight }.compactMap { $0["code"]?.string }
    }
}
