// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("Preflight")
struct PreflightTests {
    private func findings(
        freezing: Bool = true, _ change: (inout GuestFacts) throws -> Void = { _ in }
    ) throws -> [Finding] {
        var facts = try Sample.facts()
        try change(&facts)
        var request = try Sample.request()
        request.freezes = freezing
        return MemberPlan(of: facts, for: request).findings
    }

    @Test("a guest with nothing wrong has good news only")
    func fine() throws {
        let findings = try findings()
        #expect(findings.obstacles.isEmpty)
        #expect(findings.refusal == nil)
        #expect(findings.codes == ["guest.idle", "agent.ready", "space.enough"])
        #expect(findings.ceiling == .application)
    }

    @Test("of what forbids a run the first is named, unless QEMU and libvirt disagree")
    func first() {
        let full = Finding(.refuses(.refused), "space.short", "the disk is full")
        let jobs = Finding(.refuses(.busy), "disk.blockJob", "a job runs")
        let quarrel = Finding(.refuses(.quarantined), "graph.disagrees", "they disagree")
        #expect([full, jobs].refusal == full)
        #expect([full, jobs, quarrel].refusal == quarrel)
    }

    @Test("a guest that does not run is refused, frozen or not", arguments: [true, false])
    func power(freezing: Bool) throws {
        for (power, code) in [
            (GuestFacts.Power.paused("I/O error"), "guest.paused"),
            (.other("crashed"), "guest.state"),
        ] {
            let findings = try findings(freezing: freezing) { $0.power = power }
            #expect(findings.weight(of: code) == .refuses(.refused))
        }
    }

    @Test("a job that will end is busy, not refused", arguments: [true, false])
    func jobs(freezing: Bool) throws {
        let migrating = try findings(freezing: freezing) { $0.activeJob = "migration" }
        #expect(migrating.weight(of: "guest.job") == .refuses(.busy))
        let committing = try findings(freezing: freezing) { $0.disks[1].blockJob = "commit" }
        #expect(committing.weight(of: "disk.blockJob") == .refuses(.busy))
        #expect(committing["disk.blockJob"]?.text.contains("vdb") == true)
    }

    @Test("checkpoints are refused, since libvirt takes no snapshot beside them")
    func checkpoints() throws {
        #expect(try findings { $0.checkpoints = 1 }.weight(of: "guest.checkpoints") == .refuses(.refused))
    }

    @Test("an agent that is not there is refused and names --no-freeze, with which it is a note")
    func absentAgent() throws {
        for (agent, code) in [
            (AgentFacts.noChannel, "agent.noChannel"), (.notConnected, "agent.notConnected"),
            (.silent("no answer"), "agent.silent"),
        ] {
            let refused = try findings { $0.agent = agent }
            #expect(refused.weight(of: code) == .refuses(.refused))
            #expect(refused.refusal?.failure?.hint?.contains("--no-freeze") == true)
            #expect(refused[code]?.fix.contains { $0.contains("--no-freeze") } == true)
            let noted = try findings(freezing: false) { $0.agent = agent }
            #expect(noted.weight(of: code) == .note)
            #expect(noted[code]?.fix.contains { $0.contains("--no-freeze") } == false)
            #expect(noted.refusal == nil)
        }
    }

    @Test("another's freeze is refused and names thaw --foreign; without a freeze of our own it is a note")
    func foreignFreeze() throws {
        var report = try Sample.agent()
        report.freezeState = .frozen
        let refused = try findings { $0.agent = .answers(report) }
        #expect(refused.weight(of: "freeze.foreign") == .refuses(.refused))
        #expect(refused["freeze.foreign"]?.fix.first?.contains("thaw db01 --foreign") == true)
        #expect(try findings(freezing: false) { $0.agent = .answers(report) }.weight(of: "freeze.foreign") == .note)
    }

    @Test(
        "an agent without freeze, thaw or fsinfo is refused by the command's name",
        arguments: [
            "guest-fsfreeze-freeze-list", "guest-fsfreeze-thaw", "guest-get-fsinfo",
        ])
    func cannotFreeze(_ command: String) throws {
        var report = try Sample.agent()
        report.missingCommands = [command]
        let refused = try findings { $0.agent = .answers(report) }
        #expect(refused.weight(of: "agent.cannotFreeze") == .refuses(.refused))
        #expect(refused["agent.cannotFreeze"]?.text.contains(command) == true)
        #expect(try findings(freezing: false) { $0.agent = .answers(report) }.weight(of: "agent.cannotFreeze") == .note)
    }

    @Test("a guest without guest-exec is noted, not refused", arguments: ["guest-exec", "guest-exec-status"])
    func cannotExecute(_ command: String) throws {
        var report = try Sample.agent(survey: nil)
        report.missingCommands = [command]
        let findings = try findings { $0.agent = .answers(report) }
        #expect(findings.weight(of: "agent.cannotExecute") == .note)
        #expect(findings.weight(of: "topology.unseen") == .note)
        #expect(findings.refusal == nil)
    }

    @Test("a look inside that failed, and RCU that must stay as it is, are noted")
    func survey() throws {
        let blind = try Sample.agent(survey: nil)
        #expect(try findings { $0.agent = .answers(blind) }.weight(of: "agent.noSurvey") == .note)
        let slow = try Sample.agent(survey: GuestSurvey(expediteObstacle: "real-time kernel"))
        let findings = try findings { $0.agent = .answers(slow) }
        #expect(findings.weight(of: "freeze.notExpedited") == .note)
        #expect(findings["freeze.notExpedited"]?.text.contains("real-time kernel") == true)
    }

    @Test("QEMU's graph, the running and the saved definition must agree; else quarantine, and never a power-off")
    func disagreement() throws {
        let other = "/srv/kvm/other.qcow2"
        let changes: [(inout GuestFacts) -> Void] = [
            { $0.disks[0].qemuChain = [ImageLayer(path: other, format: "qcow2")] },
            { $0.disks[0].qemuChain?.append(ImageLayer(path: other, format: "qcow2")) },
            { $0.disks[0].liveChain = [ImageLayer(path: other, format: "qcow2")] },
            { $0.disks[0].savedImage = other },
        ]
        for change in changes {
            for freezing in [true, false] {
                let findings = try findings(freezing: freezing) { change(&$0) }
                #expect(findings.weight(of: "graph.disagrees") == .refuses(.quarantined))
                let fix = findings["graph.disagrees"]?.fix.joined(separator: "\n") ?? ""
                #expect(fix.contains("stillpoint recover db01 --repair"))
                #expect(!fix.contains("virsh shutdown") && !fix.contains("virsh destroy"))
            }
        }
    }

    @Test("a disk QEMU was not asked about, or without a saved definition, is no quarrel")
    func noQuarrel() throws {
        #expect(try findings { $0.disks[0].qemuChain = nil }["graph.disagrees"] == nil)
        #expect(try findings { $0.disks[0].savedImage = nil }["graph.disagrees"] == nil)
    }

    @Test("a chain is fine up to 7, noted from 8, refused from 30", arguments: [7, 8, 29, 30])
    func chainDepth(_ depth: Int) throws {
        let findings = try findings { $0.disks[0] = try Sample.root(depth: depth) }
        #expect((findings.weight(of: "chain.deep") == .note) == (8...29).contains(depth))
        #expect((findings.weight(of: "chain.tooDeep") == .refuses(.refused)) == (depth == 30))
    }

    @Test("the configuration's limits for chains are obeyed")
    func chainLimits() throws {
        var request = try Sample.request()
        request.chainLimits = ChainLimits(warn: 2, refuse: 3)
        let plan = MemberPlan(of: try Sample.facts(disks: [Sample.root(depth: 3), Sample.data()]), for: request)
        #expect(plan.findings.weight(of: "chain.tooDeep") == .refuses(.refused))
    }

    @Test("a twentieth of the chosen disks must be free in each folder")
    func space() throws {
        // 2 GiB for vda's 40 GiB and 10 GiB for vdb's 200 GiB.
        #expect(try findings { $0.freeBytes = ["/srv/kvm": 12 << 30] }.weight(of: "space.enough") == .fine)
        let short = try findings { $0.freeBytes = ["/srv/kvm": (12 << 30) - 1] }
        #expect(short.weight(of: "space.short") == .refuses(.refused))
        #expect(short["space.short"]?.text.contains("/srv/kvm") == true)
    }

    @Test("the smallest disk still wants 256 MiB, and a size beyond all sense does not overflow")
    func spaceBounds() throws {
        let small = try findings { facts in
            facts.disks = [try Sample.disk("vda", "/srv/kvm/small.qcow2", size: 1024)]
            facts.freeBytes = ["/srv/kvm": (256 << 20) - 1]
        }
        #expect(small.weight(of: "space.short") == .refuses(.refused))
        let vast = try findings { facts in
            for index in facts.disks.indices { facts.disks[index].virtualSizeBytes = .max }
        }
        #expect(vast.weight(of: "space.short") == .refuses(.refused))
    }

    @Test("a folder that cannot be looked at is refused")
    func unknownFolder() throws {
        #expect(try findings { $0.freeBytes = [:] }.weight(of: "space.unknown") == .refuses(.refused))
    }

    @Test("cache='unsafe' limits the run to crash")
    func cacheUnsafe() throws {
        let findings = try findings { $0.disks[1].cache = "unsafe" }
        #expect(findings.weight(of: "disk.cacheUnsafe") == .limits(.crash))
        #expect(findings.ceiling == .crash)
        #expect(try self.findings { $0.disks[1].cache = "none" }["disk.cacheUnsafe"] == nil)
    }

    @Test("an active image that another guest names is refused, a template below is noted")
    func sharedImages() throws {
        let shared = try findings { $0.sharedImages = ["/srv/kvm/db01-data.qcow2": ["web02", "web01"]] }
        #expect(shared.weight(of: "image.shared") == .refuses(.refused))
        #expect(shared["image.shared"]?.text.contains("web01 web02") == true)
        let template = try findings { facts in
            facts.disks[0] = try Sample.root(depth: 2)
            facts.sharedImages = ["/srv/kvm/db01-root.qcow2.below1": ["web01"]]
        }
        #expect(template.weight(of: "image.template") == .note)
        #expect(template.refusal == nil)
    }

    @Test("a disk that QEMU says nothing about is refused")
    func unseen() throws {
        #expect(try findings { $0.disks[0].virtualSizeBytes = nil }.weight(of: "disk.unseen") == .refuses(.refused))
    }

    @Test("what costs nothing but deserves a word is noted")
    func notes() throws {
        #expect(try findings { $0.disks[0].format = "vmdk" }.weight(of: "disk.format") == .note)
        #expect(try findings { $0.relabelsWithAppArmor = true }.weight(of: "host.appArmor") == .note)
        #expect(try findings { $0.isPersistent = false }.weight(of: "guest.transient") == .note)
    }

    @Test("a taken name is refused, unless nothing is to be registered")
    func takenName() throws {
        var facts = try Sample.facts()
        facts.snapshots = ["nightly"]
        var request = try Sample.request()
        #expect(MemberPlan(of: facts, for: request).findings.weight(of: "snapshot.taken") == .refuses(.refused))
        request.registers = false
        #expect(MemberPlan(of: facts, for: request).findings["snapshot.taken"] == nil)
    }

    @Test("application consistency that nothing can bring about is refused before anything is done")
    func application() throws {
        var request = try Sample.request()
        request.required = .application
        let findings = MemberPlan(of: try Sample.facts(), for: request).findings
        #expect(findings.weight(of: "application.unavailable") == .refuses(.refused))
    }

    @Test("all findings come at once")
    func atOnce() throws {
        let findings = try findings { facts in
            facts.power = .paused("by a user")
            facts.agent = .noChannel
            facts.disks[0].savedImage = "/srv/kvm/other.qcow2"
            facts.disks[1].cache = "unsafe"
            facts.freeBytes = [:]
        }
        #expect(
            Set(findings.obstacles) == [
                "guest.paused", "agent.noChannel", "graph.disagrees", "disk.cacheUnsafe", "space.unknown",
            ])
    }
}
