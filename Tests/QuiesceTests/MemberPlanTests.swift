// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("The plan")
struct MemberPlanTests {
    private func plan(_ change: (inout SnapshotRequest, inout GuestFacts) throws -> Void = { _, _ in }) throws
        -> MemberPlan
    {
        var request = try Sample.request()
        var facts = try Sample.facts()
        try change(&request, &facts)
        return MemberPlan(of: facts, for: request)
    }

    @Test("it names each disk with its base and overlay, and each filesystem with what happens to it")
    func whole() throws {
        let plan = try plan()
        #expect(plan.disks.map(\.overlay) == [Sample.rootOverlay, Sample.dataOverlay])
        #expect(plan.disks.map(\.base.path) == ["/srv/kvm/db01-root.qcow2", "/srv/kvm/db01-data.qcow2"])
        #expect(plan.frozen.map(\.mountpoint) == ["/", "/var/lib/mysql"])
        #expect(plan.notFreezable.map(\.mountpoint) == ["/boot/efi"])
        #expect(plan.freezes && plan.expedites)
        #expect(plan.asked == .filesystem)
        #expect(plan.maxFreeze == .seconds(5))
    }

    @Test("a Windows guest gets at most eight seconds")
    func windows() throws {
        let long = try plan { request, facts in
            var report = try Sample.agent()
            report.system.id = "mswindows"
            facts.agent = .answers(report)
            request.maxFreeze = .seconds(20)
        }
        #expect(long.maxFreeze == .seconds(8))
        let elsewhere = try plan { request, _ in request.maxFreeze = .seconds(20) }
        #expect(elsewhere.maxFreeze == .seconds(20))
    }

    @Test("--no-freeze freezes, syncs and expedites nothing, and asks for crash")
    func noFreeze() throws {
        let plan = try plan { request, _ in request.freezes = false }
        #expect(!plan.freezes && !plan.expedites)
        #expect(plan.synced.isEmpty)
        #expect(plan.asked == .crash)
    }

    @Test("RCU is not expedited where it is forbidden, unseen or not wanted")
    func expedite() throws {
        #expect(try !plan { request, _ in request.expedites = false }.expedites)
        #expect(try !plan { _, facts in facts.agent = .answers(try Sample.agent(survey: nil)) }.expedites)
        #expect(
            try !plan { _, facts in
                facts.agent = .answers(try Sample.agent(survey: GuestSurvey(expediteObstacle: "real-time kernel")))
            }.expedites)
    }

    @Test("choosing fewer disks freezes fewer filesystems")
    func fewerDisks() throws {
        let plan = try plan { request, _ in request.selection = .only(try Sample.targets("vdb")) }
        #expect(plan.frozen.map(\.mountpoint) == ["/var/lib/mysql"])
        #expect(plan.leftOut.map(\.target.description) == ["vda"])
    }

    @Test("what can be foreseen is the status the run would end with")
    func foreseen() throws {
        #expect(try plan().foreseen == .reached)
        #expect(try plan { request, _ in request.freezes = false }.foreseen == .reached)
        #expect(try plan { _, facts in facts.disks[0].cache = "unsafe" }.foreseen == .crashOnly)
        #expect(try plan { _, facts in facts.activeJob = "migration" }.foreseen == .busy)
        #expect(try plan { _, facts in facts.disks[0].savedImage = "/other" }.foreseen == .quarantined)
        #expect(try plan { _, facts in facts.agent = .noChannel }.foreseen == .refused)
    }

    @Test("a required level that cannot be reached is foreseen as missed")
    func foreseenMissed() throws {
        let plan = try plan { request, facts in
            request.required = .filesystem
            facts.disks[0].cache = "unsafe"
        }
        #expect(plan.foreseen == .requiredLevelMissed)
    }

    @Test("why it would miss its level is one line: what refuses it, else what limits it, else the level itself")
    func cause() throws {
        #expect(try plan().cause == nil)
        let limited = try plan { _, facts in facts.disks[0].cache = "unsafe" }
        #expect(limited.cause == limited.findings["disk.cacheUnsafe"]?.text)
        let refused = try plan { _, facts in
            facts.disks[0].cache = "unsafe"
            facts.activeJob = "migration"
        }
        #expect(refused.cause == refused.findings["guest.job"]?.text)
        let bare = try plan { request, facts in
            request.configured = .application
            var report = try Sample.agent()
            report.applications = [Sample.application("redis", policy: .ignore, paths: ["/var/lib/mysql"])]
            facts.agent = .answers(report)
        }
        #expect(bare.foreseen != .reached && bare.cause?.isEmpty == false)
    }

    @Test("a freeze of our own that still stands is not called somebody else's")
    func ownFreeze() throws {
        let frozen = try plan { _, facts in
            guard var report = facts.agent.report else { return }
            report.freezeState = .frozen
            facts.agent = .answers(report)
        }
        let run = UnfinishedRun(
            run: .random(), guest: frozen.guest, name: "freeze", startedAt: Timestamp(milliseconds: 0),
            steps: [.freezingByHand(mountpoints: ["/"])])
        let finding = try #require(frozen.knowing([], [run]).findings.refusal)
        #expect(finding.code == "freeze.own")
        #expect(finding.fix == ["stillpoint thaw db01"])
        #expect(frozen.knowing([], []).findings.refusal?.code == "freeze.foreign")
    }

    @Test("a run that is at work on the guest is told as that, and not as one that broke off")
    func busyGuest() throws {
        let run = UnfinishedRun(
            run: .random(), guest: try plan().guest, name: "nightly", startedAt: Timestamp(milliseconds: 0),
            steps: [.staging(overlays: ["/srv/kvm/x"])])
        let left = try plan().knowing([], [run])
        #expect(left.knowing(holder: nil).findings.refusal?.code == "run.unfinished")
        let busy = left.knowing(holder: "process 4711: snapshot db01")
        #expect(busy.findings["run.unfinished"] == nil)
        let finding = try #require(busy.findings.refusal)
        #expect(finding.code == "guest.busy")
        #expect(finding.text == "db01 is busy: process 4711: snapshot db01")
    }
}
