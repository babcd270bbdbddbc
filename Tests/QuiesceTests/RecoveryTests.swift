// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("Recovery of a run that died", .timeLimit(.minutes(1)))
struct RecoveryTests {
    private static let run = RunID("0123456789abcdef0123456789abcdef")

    /// The journal as a run leaves it that dies after these entries.
    func died(
        _ world: World, after steps: [JournalStep], named name: String = "nightly"
    ) async throws {
        let run = try #require(Self.run)
        try await world.journal.open(run, for: world.facts.guest, named: name, at: Sample.start)
        for step in steps { try await world.journal.record(step, of: run, at: Sample.start) }
    }

    func staging(_ world: World) -> JournalStep {
        world.host.stage(world.plan.disks.map(\.overlay))
        return .staging(
            overlays: world.plan.disks.map(\.overlay),
            intent: RunIntent(of: world.plan, for: world.request, by: .init(uid: 0, user: "root")))
    }

    func window(_ world: World) -> JournalStep {
        .window(mountpoints: world.plan.frozen.map(\.mountpoint), overlays: world.plan.disks.map(\.overlay))
    }

    private func recovery(_ world: World, guardian: String? = nil, isDryRun: Bool = false) -> Recovery {
        let hooks = [Hook(name: "postgresql", origin: "built in", sha256: "5e", text: "exit 0")]
        return Recovery(
            of: world.facts.guest,
            through: Recovery.Ports(
                hypervisor: world.hypervisor, control: { _ in world.guest },
                images: ScriptedImages(log: world.log, host: world.host), verifier: world.verifier,
                journal: world.journal, catalogue: world.journal,
                mergeAgain: { [log = world.log] groups throws(Failure) in
                    try log.answer(
                        .mergedIdle,
                        groups.map { ($0.layers + [$0.base]).joined(separator: ">") + ($0.isMerged ? "!" : "") }
                            .joined(separator: " "))
                },
                hooks: { hooks }, guardian: { _ in guardian },
                forgetPapers: { [log = world.log] in log.hear(.papersForgotten, $0.description) },
                time: world.time),
            interruption: world.interruption, isDryRun: isDryRun
        ) { [log = world.log] event in log.hear(.told, "\(event)") }
    }

    func recover(
        _ world: World, guardian: String? = nil, repairs: Bool = false
    ) async throws -> RecoverReport {
        let report = RecoverReport(
            [await recovery(world, guardian: guardian).execute(repairs: repairs)], isDryRun: false)
        #expect(world.host.harm.isEmpty)
        return report
    }

    func expectNothingLeftToDo(_ world: World) async throws {
        let before = world.log.heard.count
        let again = try await recover(world)
        #expect(again.exit == 0 && again.guests.first?.runs.isEmpty == true)
        #expect(world.log.heard.dropFirst(before).allSatisfy { $0 == .look })
    }

    @Test("overlays that were staged and never used go, and a second recovery does nothing")
    func staged() async throws {
        let world = try World()
        try await died(world, after: [staging(world)])
        let report = try await recover(world)
        #expect(report.exit == 0)
        #expect(world.log.details(of: .withdraw) == [Sample.rootOverlay, Sample.dataOverlay])
        #expect(world.host.overlays.isEmpty && world.journal.manifests.isEmpty)
        #expect(world.log.count(.thaw) == 0)
        #expect(world.log.details(of: .journalClosed) == ["undone"] && world.log.count(.papersForgotten) == 1)
        try await expectNothingLeftToDo(world)
    }

    @Test("killed before the cut inside the window: thawed first, then the overlays go")
    func frozen() async throws {
        let world = try World()
        try await died(world, after: [staging(world), window(world)])
        let report = try await recover(world)
        #expect(report.exit == 0)
        #expect(world.log.heard(.thaw, before: .thawed) && world.log.heard(.thaw, before: .withdraw))
        #expect(world.log.heard(.thaw, before: .disarm) && world.log.heard(.disarm, before: .tidy))
        #expect(world.host.overlays.isEmpty)
        try await expectNothingLeftToDo(world)
    }

    @Test("killed after the cut inside the window: adopted as crash, registered, and said why")
    func cut() async throws {
        let world = try World()
        try await died(world, after: [staging(world), window(world)])
        world.host.move(world.plan.disks)
        let report = try await recover(world)
        #expect(report.exit == 0)
        let manifest = try #require(world.journal.manifests.first)
        #expect(manifest.verdict.consistency == .crash && manifest.verdict.reasons.count == 1)
        #expect(manifest.members.first?.snapshot?.disks.map(\.overlay) == [Sample.rootOverlay, Sample.dataOverlay])
        #expect(manifest.exit == 11 && world.log.count(.papersForgotten) == 0)
        #expect(world.host.registered == ["nightly"] && world.host.overlays.count == 2)
        #expect(world.log.details(of: .definition).first == "/srv/kvm/db01-data.qcow2 /srv/kvm/db01-root.qcow2")
        #expect(world.log.details(of: .journalClosed) == ["done"])
        try await expectNothingLeftToDo(world)
    }

    @Test(
        "what the journal proves of the window is believed up to filesystem, unless the dead-man or an image disproves it",
        arguments: [(false, true, Consistency.filesystem), (true, true, .crash), (false, false, .crash)])
    func proof(deadManFired: Bool, imageIsFrozen: Bool, level: Consistency) async throws {
        var world = try World()
        world.guest.fired = deadManFired ? "fired" : nil
        world.verifier.proofs = [Sample.proof("vda1", frozen: imageIsFrozen)]
        let proof = WindowProof(
            cutAt: Sample.start, verdict: Verdict(consistency: .application),
            freeze: .init(
                mountpoints: ["/"], notFreezable: [], expected: 2, guestReported: .init(frozen: 2, thawed: 2),
                windowMs: 80, hookMs: 0, maxFreezeMs: 5000))
        try await died(
            world, after: [staging(world), window(world), .windowClosed(cut: true, thawed: true, proof: proof)])
        world.host.move(world.plan.disks)
        #expect(try await recover(world).exit == 0)
        #expect(world.log.count(.thaw) == 0)
        let manifest = try #require(world.journal.manifests.first)
        #expect(manifest.verdict.consistency == level)
        #expect(manifest.cut?.at == Sample.start && manifest.members.first?.freeze?.guestReported.frozen == 2)
        #expect(manifest.members.first?.guardian == .armed)
    }

    @Test("--no-metadata stays out of libvirt, and a name that another has taken is told")
    func metadata() async throws {
        var world = try World()
        world.request.registers = false
        try await died(world, after: [staging(world), window(world)])
        world.host.move(world.plan.disks)
        #expect(try await recover(world).exit == 0)
        #expect(world.log.count(.register) == 0)

        let taken = try World()
        try await died(taken, after: [staging(taken), window(taken)])
        taken.host.move(taken.plan.disks)
        taken.host.register("nightly")
        let report = try await recover(taken)
        #expect(report.exit == 0 && taken.log.count(.register) == 0)
        #expect(report.text().contains("another snapshot of that name"))
    }

    @Test("a manifest that was written before the end is not written again")
    func kept() async throws {
        let world = try World()
        #expect(try await world.run().exit == 0)
        try await died(world, after: [staging(world), window(world), .windowClosed(cut: true, thawed: true)])
        #expect(try await recover(world).exit == 0)
        #expect(world.journal.manifests.count == 1)
        #expect(world.log.details(of: .journalClosed).last == "done")
    }

    @Test("a thaw that cannot be proved is 30: no file is touched, and the run stays open")
    func unproved() async throws {
        var world = try World()
        world.guest.thaws = [.failure(GuestFailure(.timedOut, "silence"))]
        try await died(world, after: [staging(world), window(world)])
        let report = try await recover(world)
        #expect(report.exit == 30)
        #expect(report.cause?.message.contains("db01 may still be frozen") == true)
        #expect(world.log.count(.withdraw) == 0 && world.log.count(.journalClosed) == 0)
        #expect(world.host.overlays.count == 2)
    }

    @Test("a paused guest cannot be thawed, and is not waited for")
    func paused() async throws {
        var facts = try Sample.facts()
        facts.power = .paused("I/O error")
        let world = try World(facts)
        try await died(world, after: [staging(world), window(world)])
        let report = try await recover(world)
        #expect(report.exit == 30 && report.cause?.hint?.contains("virsh resume db01") == true)
        #expect(world.log.count(.thaw) == 0 && world.time.elapsed < .seconds(1))
    }

    @Test("a guest that is switched off has nothing frozen, and nothing in it is asked")
    func shutOff() async throws {
        var facts = try Sample.facts()
        facts.power = .shutOff
        for index in facts.disks.indices { facts.disks[index].qemuChain = nil }
        let world = try World(facts)
        try await died(world, after: [staging(world), window(world)])
        #expect(try await recover(world).exit == 0)
        #expect(world.log.count(.thaw) == 0 && world.log.count(.disarm) == 0)
        #expect(world.host.overlays.isEmpty)
    }

    @Test("a guest that was asked to shut down and is still at it is started again once it is off")
    func goingDown() async throws {
        var world = try World()
        world.hypervisor.offAfterLooks = 6
        try await died(world, after: [staging(world), .shuttingDown])
        #expect(try await recover(world).exit == 0)
        #expect(world.log.count(.start) == 1 && world.log.heard(.start, before: .journalClosed))
        #expect(world.time.elapsed < .seconds(10))
    }

    @Test("one that does not go off is not waited for without end, and that is told")
    func staysOn() async throws {
        let world = try World()
        try await died(world, after: [staging(world), .shuttingDown])
        let report = try await recover(world)
        #expect(report.exit == 0 && report.text().contains("asked to shut down and still runs"))
        #expect(world.log.count(.start) == 0 && world.time.elapsed < .seconds(130))
    }

    @Test("what the guardian confirmed is not thawed again, since that could undo another's freeze")
    func guardian() async throws {
        let world = try World()
        try await died(world, after: [staging(world), window(world)])
        let report = try await recover(world, guardian: "orphaned: thaw confirmed")
        #expect(report.exit == 0 && report.text().contains("orphaned: thaw confirmed"))
        #expect(world.log.count(.thaw) == 0 && world.log.count(.disarm) == 1)
    }

    @Test("where some were thawed and some not, the kernel thaws what no path leads to any more", arguments: [1, 2])
    func rest(count: Int) async throws {
        var world = try World()
        world.guest.thaws = [.success(count)]
        try await died(world, after: [staging(world), window(world)])
        #expect(try await recover(world).text().contains("sysrq j") == (count == 1))
        #expect(world.log.count(.thawAll) == (count == 1 ? 1 : 0))
    }

    @Test("hooks are released once, the last one first, and told whether the snapshot was taken")
    func hooks() async throws {
        let application = Sample.application("postgresql", instance: "15/main")
        let world = try World(Sample.facts(applications: [application]))
        let prepared = PreparedHook(MemberPlan.Application(application))
        let steps = [staging(world), .preparing(hooks: [prepared]), window(world)]
        try await died(world, after: steps)
        #expect(try await recover(world).exit == 0)
        #expect(world.log.details(of: .hookRelease) == ["postgresql 15/main unknown"])
        #expect(world.log.details(of: .released) == ["postgresql 15/main"])

        let released = try World(Sample.facts(applications: [application]))
        try await died(released, after: steps + [.released(hooks: ["postgresql 15/main"])])
        #expect(try await recover(released).exit == 0)
        #expect(released.log.count(.hookRelease) == 0)
    }

    @Test("what a holder needs to let go by itself stays in the guest for a while where its release was not confirmed")
    func unreleased() async throws {
        let application = Sample.application("postgresql", instance: "15/main")
        var world = try World(Sample.facts(applications: [application]))
        world.guest.hooks = ["postgresql": [.postThaw: [.failed("the server does not answer")]]]
        let prepared = PreparedHook(MemberPlan.Application(application))
        try await died(world, after: [staging(world), .preparing(hooks: [prepared]), window(world)])
        let report = try await recover(world)
        #expect(report.text().contains("not confirmed (the server does not answer)"))
        #expect(world.log.count(.disarm) == 1 && world.log.count(.tidy) == 0 && world.log.count(.tidyLater) == 1)
    }

    @Test("a freeze by hand that died before it could say that its dead-man waits has it called off")
    func armedOnly() async throws {
        let world = try World()
        try await died(world, after: [], named: "freeze")
        #expect(try await recover(world).exit == 0)
        #expect(world.log.count(.disarm) == 1 && world.log.count(.tidy) == 1)
        #expect(world.log.details(of: .journalClosed) == ["undone"])
    }

    @Test("a freeze by hand is left alone while its lease runs, and ended when it is over")
    func lease() async throws {
        let world = try World()
        let end = Sample.start.adding(milliseconds: 30_000)
        try await died(world, after: [.freezingByHand(mountpoints: ["/"], until: end)], named: "freeze")
        let early = try await recover(world)
        #expect(early.exit == 0 && early.guests.first?.runs.first?.outcome == .left)
        #expect(world.log.count(.thaw) == 0 && world.log.count(.journalClosed) == 0)
        world.time.advance(by: .seconds(31))
        #expect(try await recover(world).exit == 0)
        #expect(world.log.count(.thaw) == 1 && world.log.details(of: .journalClosed) == ["undone"])
        try await expectNothingLeftToDo(world)
    }

    @Test("--dry-run tells all of it and does nothing")
    func dryRun() async throws {
        let world = try World()
        try await died(world, after: [staging(world), window(world)])
        let before = world.log.heard.count
        let guest = await recovery(world, isDryRun: true).execute(repairs: true)
        let text = RecoverReport([guest], isDryRun: true).text()
        #expect(text.contains("would thaw") && text.contains("would discard"))
        #expect(world.log.heard.dropFirst(before).allSatisfy { $0 == .look })
    }

    @Test("at the start of another command a drill that died is thawed and closed")
    func makesWay() async throws {
        let world = try World()
        try await died(world, after: [.window(mountpoints: ["/"], overlays: [])])
        try await recovery(world).makeWay()
        #expect(world.log.count(.thaw) == 1 && world.log.details(of: .journalClosed) == ["undone"])
    }

    @Test("at the start of another command overlays that were left are 75, after the thaw, naming recover")
    func inTheWay() async throws {
        let world = try World()
        try await died(world, after: [staging(world), window(world)])
        let failure = await #expect(throws: Failure.self) { try await recovery(world).makeWay() }
        #expect(failure?.status == .busy && failure?.hint == "stillpoint recover db01")
        #expect(world.log.count(.thaw) == 1 && world.log.count(.withdraw) == 0)
    }
}
