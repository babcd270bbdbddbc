// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

/// One guest on one host with everything scripted: set what should go wrong, run, and read the log.
struct World {
    let log = Log()
    let time = ScriptedTime()
    let interruption = Interruption()
    let facts: GuestFacts
    let host: Host
    let journal: ScriptedJournal
    var request: SnapshotRequest
    var guest: ScriptedGuest
    var hypervisor: ScriptedHypervisor
    var verifier: ScriptedVerifier
    var guardian: ScriptedGuardian
    let branches: ScriptedBranches

    init(_ facts: GuestFacts? = nil, request: SnapshotRequest? = nil) throws {
        let facts = try facts ?? Sample.facts()
        self.facts = facts
        self.request = try request ?? Sample.request()
        host = Host(facts)
        journal = ScriptedJournal(log: log)
        guest = ScriptedGuest(log: log, time: time)
        hypervisor = ScriptedHypervisor(log: log, time: time, host: host, facts: facts)
        verifier = ScriptedVerifier(log: log)
        guardian = ScriptedGuardian(log: log)
        branches = ScriptedBranches(log: log)
    }

    var plan: MemberPlan { MemberPlan(of: facts, for: request) }

    func interrupt(at what: Heard, _ status: Quiesce.ExitStatus = .interrupted) {
        log.cue(what) { [interruption] in interruption.ask(status) }
    }

    func run() async throws -> RunReport {
        let run = SnapshotRun(
            try #require(RunID("0123456789abcdef0123456789abcdef")), of: plan, for: request, through: ports,
            interruption: interruption
        ) { [log] event in log.hear(.told, "\(event)") }
        return await run.execute(since: time.now, startedAt: time.wall)
    }

    func pass() async -> Window.Result {
        await Window(
            plan: plan, name: request.name, cuts: !request.isDrill, hypervisor: hypervisor, guest: guest, time: time,
            interruption: interruption
        ).pass()
    }

    func life(_ life: ScriptedLife) -> LifePorts {
        LifePorts(
            hypervisor: hypervisor, life: life, images: ScriptedImages(log: log, host: host),
            layers: ScriptedLayers(log: log, host: host), journal: journal, catalogue: journal,
            branches: branches, time: time)
    }

    private var ports: RunPorts {
        RunPorts(
            hypervisor: hypervisor, guest: guest, guardian: guardian, images: ScriptedImages(log: log, host: host),
            verifier: verifier,
            journal: journal, catalogue: journal, time: time, starter: RunReport.Starter(uid: 0, user: "root"))
    }
}
