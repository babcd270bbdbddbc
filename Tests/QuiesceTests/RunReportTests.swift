// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Quiesce

/// The JSON that scripts read: a renamed field is a broken script.
@Suite("The run's report", .timeLimit(.minutes(1)))
struct RunReportTests {
    private typealias Object = [String: Any]

    private func goodReport() async throws -> RunReport {
        var world = try World()
        world.request.note = "before the upgrade"
        world.request.selection = .excluding(try Sample.targets("vdc"))
        let swap = try Sample.disk("vdc", "/srv/kvm/swap.qcow2", size: 8 << 30)
        let second = try World(Sample.facts(disks: world.facts.disks + [swap]), request: world.request)
        return try await second.run()
    }

    private func object(_ value: some Encodable) throws -> Object {
        try #require(try JSONSerialization.jsonObject(with: JSONEncoder().encode(value)) as? Object)
    }

    private func child(_ object: Object, _ key: String) throws -> Object { try #require(object[key] as? Object) }
    private func first(_ object: Object, _ key: String) throws -> Object {
        try #require((object[key] as? [Object])?.first)
    }

    @Test("its top level has just the published fields")
    func topLevel() async throws {
        let json = try object(try await goodReport())
        #expect(
            Set(json.keys) == [
                "schema", "run", "startedAt", "finishedAt", "required", "verdict", "exit", "cut", "versions",
                "startedBy", "members",
            ])
        #expect(json["schema"] as? String == "stillpoint.run/v1")
        #expect(json["run"] as? String == "0123456789abcdef0123456789abcdef")
        #expect(json["required"] as? String == "filesystem")
        #expect(json["exit"] as? Int == 0)
        #expect(Set(try child(json, "verdict").keys) == ["consistency", "reasons"])
        #expect(Set(try child(json, "cut").keys) == ["at", "guestAt", "skewMs"])
        #expect(Set(try child(json, "versions").keys) == ["stillpoint", "libvirt", "qemu"])
        #expect(Set(try child(json, "startedBy").keys) == ["uid", "user"])
    }

    @Test("a member has just the published fields")
    func member() async throws {
        let member = try first(object(try await goodReport()), "members")
        #expect(
            Set(member.keys) == [
                "domain", "agent", "deadMan", "guardian", "snapshot", "freeze", "applications", "phases",
                "verification",
            ])
        #expect(Set(try child(member, "domain").keys) == ["name", "uuid", "uri"])
        #expect(Set(try child(member, "agent").keys) == ["version", "transport"])
        #expect(try child(member, "agent")["transport"] as? String == "guest-exec")
        #expect(member["deadMan"] as? String == "armed")
        #expect(member["guardian"] as? String == "armed")
        #expect((member["applications"] as? [Any])?.isEmpty == true)
    }

    @Test(
        "the snapshot names each disk with its frozen image, chain and overlay, and each disk left out with its reason")
    func snapshot() async throws {
        let member = try first(object(try await goodReport()), "members")
        let snapshot = try child(member, "snapshot")
        #expect(Set(snapshot.keys) == ["name", "description", "disks", "excluded"])
        let disk = try first(snapshot, "disks")
        #expect(Set(disk.keys) == ["target", "frozenImage", "chain", "overlay", "format", "virtualSizeBytes"])
        #expect(disk["target"] as? String == "vda")
        #expect(disk["frozenImage"] as? String == "/srv/kvm/db01-root.qcow2")
        #expect(disk["overlay"] as? String == Sample.rootOverlay)
        #expect(disk["virtualSizeBytes"] as? Int64 == 40 * Sample.gibibyte)
        #expect(Set(try first(disk, "chain").keys) == ["path", "format"])
        let excluded = try first(snapshot, "excluded")
        #expect(excluded as? [String: String] == ["target": "vdc", "reason": "--exclude"])
    }

    @Test("the freeze carries the guest's counts, marked as its own word, and the window")
    func freeze() async throws {
        let member = try first(object(try await goodReport()), "members")
        let freeze = try child(member, "freeze")
        #expect(
            Set(freeze.keys) == [
                "mountpoints", "notFreezable", "expected", "guestReported", "windowMs", "hookMs", "maxFreezeMs",
            ])
        #expect(try child(freeze, "guestReported") as? [String: Int] == ["frozen": 2, "thawed": 2])
        #expect(freeze["mountpoints"] as? [String] == ["/", "/var/lib/mysql"])
        #expect(freeze["notFreezable"] as? [String] == ["/boot/efi"])
        #expect(freeze["windowMs"] as? Int == 63)
        #expect(freeze["maxFreezeMs"] as? Int == 5000)
    }

    @Test("each phase has a name, a status and its time since the run began")
    func phases() async throws {
        let member = try first(object(try await goodReport()), "members")
        let phases = try #require(member["phases"] as? [Object])
        let names = phases.map { $0["name"] as? String }
        #expect(names == ["preflight", "stage", "prepare", "freeze", "cut", "thaw", "register", "verify"])
        for phase in phases {
            #expect(Set(phase.keys).subtracting(["detail"]) == ["name", "status", "startMs", "tookMs"])
            #expect(phase["status"] as? String == "ok")
        }
    }

    @Test("verification answers for chain, filesystem and application, each with a result and a detail")
    func verification() async throws {
        let member = try first(object(try await goodReport()), "members")
        let verification = try child(member, "verification")
        #expect(Set(verification.keys) == ["chain", "filesystem", "application"])
        for key in verification.keys { #expect(Set(try child(verification, key).keys) == ["result", "detail"]) }
        #expect(try child(verification, "chain")["result"] as? String == "ok")
        #expect(try child(verification, "filesystem")["detail"] as? String == "2/2 clean")
        #expect(try child(verification, "application")["result"] as? String == "notChecked")
    }

    @Test("the guest's clock at the cut is the host's plus the offset measured before, with its uncertainty")
    func guestClock() async throws {
        let cut = try #require(try await goodReport().cut)
        #expect(cut.guestAt == cut.at.adding(milliseconds: 1500))
        #expect(cut.skewMs == 4)
    }

    @Test("a run that failed claims no cut and no snapshot")
    func failedRun() async throws {
        var world = try World()
        world.guest.freezing = .failure(GuestFailure(.refused, "no"))
        let json = try object(try await world.run())
        #expect(json["cut"] == nil)
        let member = try first(json, "members")
        #expect(member["snapshot"] == nil)
        #expect(try child(child(member, "freeze"), "guestReported")["frozen"] == nil)
        #expect(json["exit"] as? Int == 21)
    }

    @Test("what was written is read back the same")
    func roundTrip() async throws {
        let report = try await goodReport()
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let once = try encoder.encode(report)
        let back = try JSONDecoder().decode(RunReport.self, from: once)
        #expect(try encoder.encode(back) == once)
        #expect(back.run == report.run)
        #expect(
            back.members.first?.snapshot?.disks.map(\.target) == report.members.first?.snapshot?.disks.map(\.target))
        #expect(back.startedAt.milliseconds == report.startedAt.milliseconds)
    }
}
