// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

extension Lab.Plain {
    @Test("a guest with nothing wrong is 0, and every finding is well")
    func healthy() async throws {
        let guest = try LabGuest.current
        let doctor = try await guest.stillpoint("doctor", guest.name, "--json")
        #expect(doctor.exit == 0, "\(doctor)")
        #expect(try doctor.json["now"] == "filesystem" && doctor.json.codes(weighing: "fix").isEmpty)
        let text = try await guest.stillpoint("doctor", guest.name)
        #expect(text.output.contains("running, Debian GNU/Linux"))
        #expect(text.errors.isEmpty)
    }

    @Test("an agent that may not execute is a note, one that may not freeze has to be mended")
    func forbiddenCommands() async throws {
        let guest = try LabGuest.current
        try await forbid("guest-exec,guest-exec-status", guest)
        let blind = try await guest.stillpoint("doctor", guest.name, "--json")
        #expect(blind.exit == 0, "\(blind)")
        #expect(try blind.json.codes(weighing: "note").contains("agent.cannotExecute"))
        let taken = try await guest.stillpoint("snapshot", guest.name, "--json", "--max-freeze", "20s")
        #expect(taken.exit == 0, "\(taken)")
        #expect(try taken.json.consistency == "filesystem" && taken.json.member?["agent"]?["transport"] == "none")
        #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
        try expectFailure(try await guest.stillpoint("freeze", guest.name, "--json"), 20, "guest-exec", isJSON: true)

        try await forbid("guest-fsfreeze-freeze-list", guest)
        let stuck = try await guest.stillpoint("doctor", guest.name, "--json")
        #expect(stuck.exit == 20, "\(stuck)")
        #expect(try stuck.json.codes(weighing: "fix") == ["agent.cannotFreeze"])
        try expectFailure(
            try await guest.stillpoint("snapshot", guest.name, "--json"), 20, "guest-fsfreeze-freeze-list", isJSON: true
        )

        try await guest.type("rm /etc/qemu/qemu-ga.conf; systemctl restart qemu-guest-agent")
        try await guest.awaitAgent()
    }

    @Test("a paused guest has to be resumed, and its agent is not waited for")
    func paused() async throws {
        let guest = try LabGuest.current
        try await Virsh.run("suspend", guest.name)
        let doctor = try await guest.stillpoint("doctor", guest.name, "--json", within: .seconds(10))
        let refused = try await guest.stillpoint("snapshot", guest.name, "--json", within: .seconds(10))
        try await Virsh.run("resume", guest.name)
        #expect(doctor.exit == 20, "\(doctor)")
        #expect(try doctor.json.codes(weighing: "fix").contains("guest.paused"))
        try expectFailure(refused, 20, "paused", isJSON: true)
        try await guest.awaitAgent()
    }

    @Test("checkpoints have to go first, and a deep chain is worth a note")
    func checkpointsAndDepth() async throws {
        let guest = try LabGuest.current
        try await Virsh.run("checkpoint-create-as", guest.name, "it")
        let refused = try await guest.stillpoint("doctor", guest.name, "--json")
        let snapshot = try await guest.stillpoint("snapshot", guest.name, "--json")
        try await Virsh.run("checkpoint-delete", guest.name, "it")
        #expect(refused.exit == 20, "\(refused)")
        #expect(try refused.json.codes(weighing: "fix") == ["guest.checkpoints"])
        try expectFailure(snapshot, 20, "checkpoint", isJSON: true)

        let configuration = "\(guest.stillpoint.state)/config.yaml"
        try Data("chain: { warn: 2 }\n".utf8).write(to: URL(filePath: configuration))
        #expect(try await guest.stillpoint("snapshot", guest.name, "--no-freeze", "--name", "deep").exit == 0)
        let doctor = try await guest.stillpoint("--config", configuration, "doctor", guest.name, "--json")
        #expect(doctor.exit == 0, "\(doctor)")
        #expect(try doctor.json.codes(weighing: "note").contains("chain.deep"))
        #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
    }

    @Test("a domain without a channel for the agent gets the XML and the line that attach one")
    func noChannel() async throws {
        try await BareDomain.with { domain in
            let doctor = try await domain.stillpoint("doctor", domain.name, "--json")
            #expect(doctor.exit == 20, "\(doctor)")
            #expect(try doctor.json.codes(weighing: "fix") == ["agent.noChannel"])
            let fix = try doctor.json["findings"]?.array?.first { $0["code"] == "agent.noChannel" }?["fix"]?.array
            #expect(fix?.contains { $0.string?.contains("org.qemu.guest_agent.0") == true } == true)
            #expect(fix?.contains { $0.string?.contains("virsh attach-device \(domain.name)") == true } == true)
        }
    }

    private func forbid(_ commands: String, _ guest: LabGuest) async throws {
        let words = "[general]\\nblock-rpcs=\(commands)\\n"
        try await guest.type(
            "mkdir -p /etc/qemu; printf '\(words)' >/etc/qemu/qemu-ga.conf; systemctl restart qemu-guest-agent")
        try await guest.awaitAgent()
    }
}
