// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("A guest that is off for its cut", .timeLimit(.minutes(1)))
struct RestRunTests {
    /// Off already, and with nothing against it.
    private func off(_ reason: StopReason = .shutdown, _ change: (inout GuestFacts) -> Void = { _ in }) throws -> World
    {
        var facts = try Sample.facts()
        (facts.power, facts.agent, facts.stopReason) = (.shutOff, .unasked, reason)
        for index in facts.disks.indices { facts.disks[index].qemuChain = nil }
        change(&facts)
        return try World(facts)
    }

    /// Running, to be shut down.
    private func running() throws -> World {
        var request = try Sample.request()
        (request.shutsDown, request.runsHooks) = (.seconds(60), false)
        return try World(request: request)
    }

    @Test("has its definition moved to the overlays, and no guest, guardian or freeze is asked for")
    func order() async throws {
        let world = try off()
        let report = try await world.run()
        #expect(
            world.log.heard == [
                .journalOpened, .staging, .definition, .stage, .window, .point, .dismissed, .windowClosed, .registering,
                .register,
                .disks, .headerCheck, .headerCheck, .imageCheck, .catalogue, .journalClosed,
            ])
        #expect(report.exit == 0 && report.verdict == Verdict(consistency: .application))
        #expect(report.required == .filesystem)
        let member = try #require(report.members.first)
        #expect(member.freeze == nil && member.agent == nil && member.deadMan == .absent && member.guardian == .absent)
        #expect(member.snapshot?.disks.map(\.overlay) == [Sample.rootOverlay, Sample.dataOverlay])
        #expect(world.host.harm.isEmpty)
    }

    @Test(
        "reaches crash consistency when it did not shut down cleanly, by libvirt's word",
        arguments: StopReason.allCases.filter { $0 != .shutdown })
    func unclean(_ reason: StopReason) async throws {
        let report = try await off(reason).run()
        #expect(report.verdict.consistency == .crash)
        #expect(report.exit == Quiesce.ExitStatus.crashOnly.rawValue)
        #expect(report.verdict.reasons.first?.contains("nothing says that db01 shut down cleanly") == true)
    }

    @Test(
        "reaches crash consistency when an image says so, or cannot say that nothing waits in it",
        arguments: [("ext4", false as Bool?), ("xfs", nil), ("crypto_LUKS", nil), ("unknown", nil)])
    func unclean(_ kind: String, _ frozen: Bool?) async throws {
        var world = try off()
        world.verifier.proofs[1].kind = kind
        world.verifier.proofs[1].frozen = frozen
        let report = try await world.run()
        #expect(report.verdict.consistency == .crash)
        #expect(report.verdict.reasons.contains { $0.hasPrefix("vdb (\(kind)) is not proved to be at rest") })
        #expect(
            report.exit == Quiesce.ExitStatus.crashOnly.rawValue, "an image that is not clean is no broken snapshot")
    }

    @Test("what nobody here knows lowers it, and so does a disk of which nothing is known", arguments: ["data", nil])
    func unknown(_ kind: String?) async throws {
        var world = try off()
        if let kind {
            world.verifier.proofs[0].kind = kind
            world.verifier.proofs[0].frozen = nil
        } else {
            world.verifier.proofs.removeLast()
        }
        #expect(try await world.run().verdict.consistency == .crash)
    }

    @Test(
        "an EFI partition, swap and a boot loader's do not lower it", arguments: ["vfat", "swap", "empty", "bootcode"])
    func withoutJournal(_ kind: String) async throws {
        var world = try off()
        world.verifier.proofs[0].kind = kind
        world.verifier.proofs[0].frozen = nil
        #expect(try await world.run().verdict.consistency == .application)
    }

    @Test("that misses what is required gets its old definition back, and nothing is merged")
    func takenBack() async throws {
        var world = try off(.destroyed)
        world.request.required = .application
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.requiredLevelMissed.rawValue)
        #expect(world.log.heard.suffix(6) == [.merging, .restore, .removing, .remove, .unregister, .journalClosed])
        #expect(world.log.count(.merge) == 0 && world.host.harm.isEmpty && world.host.overlays.isEmpty)
        #expect(world.host.disks.map { $0.activeImage?.path } == world.facts.disks.map { $0.activeImage?.path })
    }

    @Test("whose memory is saved is refused: it would wake up on the frozen images")
    func managedSave() async throws {
        let world = try off(.saved) { $0.hasManagedSave = true }
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.refused.rawValue)
        #expect(world.plan.findings.weight(of: "guest.saved") == .refuses(.refused))
        #expect(world.log.heard.isEmpty)
    }

    @Test("that runs is shut down before and started after, and only its own way down decides")
    func powerCycle() async throws {
        let world = try running()
        let report = try await world.run()
        #expect(
            world.log.heard == [
                .journalOpened, .staging, .definition, .stage, .shuttingDown, .shutDown, .window, .point, .dismissed,
                .windowClosed,
                .start, .startedAgain, .registering, .register, .disks, .headerCheck, .headerCheck, .imageCheck,
                .catalogue, .journalClosed,
            ])
        #expect(report.exit == 0 && report.verdict == Verdict(consistency: .application))
        let phases = report.members.first?.phases.map(\.name) ?? []
        #expect(phases.contains(.shutdown) && phases.contains(.start))
        #expect(world.host.harm.isEmpty)
        var crashing = try running()
        crashing.hypervisor.stopping = .crashed
        #expect(try await crashing.run().verdict.consistency == .crash)
    }

    @Test(
        "is started again whatever fails",
        arguments: [Heard.shutDown, .window, .point, .dismissed, .windowClosed, .register, .disks, .catalogue])
    func alwaysStarted(_ step: Heard) async throws {
        let world = try running()
        world.log.refuse(step, Failure(.snapshotFailed, "no"))
        _ = try await world.run()
        #expect(world.log.count(.start) == 1)
        #expect(world.host.harm.isEmpty)
    }

    @Test("is started again when somebody interrupts", arguments: [Heard.stage, .shuttingDown, .shutDown, .point])
    func interrupted(_ step: Heard) async throws {
        let world = try running()
        world.interrupt(at: step)
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.interrupted.rawValue)
        #expect(world.log.count(.start) == world.log.count(.shutDown))
        #expect(world.host.harm.isEmpty && world.host.overlays.isEmpty)
    }

    @Test("that does not start again is told: 23, and the snapshot stays")
    func doesNotStart() async throws {
        let world = try running()
        world.log.refuse(.start, Failure(.internalError, "no memory"))
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.releaseFailed.rawValue)
        #expect(report.verdict.reasons.contains("db01 did not start again: no memory"))
        #expect(report.members.first?.snapshot != nil)
        #expect(world.log.count(.startedAgain) == 0)
    }

    @Test("that is transient, or starts by itself, is not shut down")
    func notShutDown() throws {
        var facts = try Sample.facts()
        (facts.isPersistent, facts.staysOff) = (false, false)
        var request = try Sample.request()
        request.shutsDown = .seconds(60)
        let plan = MemberPlan(of: facts, for: request)
        #expect(plan.findings.weight(of: "guest.transient") == .refuses(.refused))
        #expect(plan.findings.weight(of: "guest.restarts") == .refuses(.refused))
    }

    @Test("whose definition contradicts its images is quarantined")
    func contradiction() async throws {
        let world = try off { facts in
            facts.disks[0].liveChain.append(ImageLayer(path: "/srv/kvm/other.qcow2", format: "qcow2"))
            facts.disks[0].headerChain = Array(facts.disks[0].liveChain.prefix(1))
        }
        #expect(world.plan.findings.weight(of: "graph.disagrees") == .refuses(.quarantined))
    }

    @Test("cannot be frozen by hand or drilled")
    func drill() throws {
        var world = try off()
        world.request.isDrill = true
        #expect(world.plan.findings.weight(of: "guest.shutOff") == .refuses(.refused))
    }
}
