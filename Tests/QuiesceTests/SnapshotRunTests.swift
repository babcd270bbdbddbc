// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("A snapshot run", .timeLimit(.minutes(1)))
struct SnapshotRunTests {
    @Test("a good run does just this, in this order")
    func goodRun() async throws {
        let world = try World()
        let report = try await world.run()
        #expect(
            world.log.heard == [
                .journalOpened, .staging, .definition, .stage, .rescue, .stood, .clock, .arm, .sync, .window,
                .steady, .armed, .freeze, .cut, .thaw, .dismissed,
                .dismissed, .disarm, .tidy, .windowClosed, .registering, .register, .disks, .headerCheck, .headerCheck,
                .imageCheck,
                .catalogue, .journalClosed,
            ])
        #expect(report.exit == 0)
        #expect(report.verdict == Verdict(consistency: .filesystem))
        #expect(world.log.details(of: .windowClosed) == ["cut true, thawed true"])
        #expect(world.log.details(of: .journalClosed) == ["done"])
        #expect(world.host.registered == ["nightly"])
        #expect(world.host.harm.isEmpty)
        #expect(world.journal.manifests.map(\.exit) == [0])
    }

    @Test("between freeze and thaw nothing is heard but the cut, not even a word to the listener")
    func silentWindow() async throws {
        let world = try World()
        _ = try await world.run()
        let everything = world.log.everything
        let freeze = try #require(everything.firstIndex(of: .freeze))
        let thaw = try #require(everything.firstIndex(of: .thaw))
        try #require(freeze < thaw)
        #expect(Array(everything[freeze...thaw]) == [.freeze, .cut, .thaw])
        #expect(world.log.count(.told) > 0)
    }

    @Test("what is synced is all that lies on the chosen disks, what is frozen all that can be")
    func syncedAndFrozen() async throws {
        let world = try World()
        _ = try await world.run()
        #expect(world.log.details(of: .sync) == ["/ /var/lib/mysql /boot/efi"])
        #expect(world.log.details(of: .window) == ["/ /var/lib/mysql"])
    }

    @Test("the guardian's deadline follows the longest window, and the dead-man's the guardian's")
    func deadlines() async throws {
        let world = try World()
        let report = try await world.run()
        #expect(world.log.details(of: .armed) == ["6 s"])
        #expect(world.log.details(of: .steady) == ["8 s expedited"])
        #expect(world.log.details(of: .arm) == ["/ /var/lib/mysql expedites"])
        #expect(report.members.first?.deadMan == .armed)
        #expect(report.members.first?.guardian == .armed)
    }

    @Test(
        "without the guardian, the dead-man or its deadline nothing is frozen",
        arguments: [
            Heard.stood, .armed, .arm, .steady,
        ])
    func unguarded(what: Heard) async throws {
        var world = try World()
        world.log.refuse(what, Failure(.refused, "no"))
        world.guest.failing[what] = GuestFailure(.refused, "no")
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.refused.rawValue)
        #expect(world.log.count(.freeze) == 0)
        #expect(world.host.overlays.isEmpty)
        #expect(world.log.details(of: .journalClosed) == ["undone"])
    }

    @Test("a dead-man whose start nobody confirmed is called off, and left to recover where that fails")
    func perhapsArmed() async throws {
        var world = try World()
        world.guest.failing[.arm] = GuestFailure(.timedOut, "no answer")
        _ = try await world.run()
        #expect(world.log.count(.disarm) == 1 && world.log.details(of: .journalClosed) == ["undone"])
        world = try World()
        world.guest.failing[.arm] = GuestFailure(.timedOut, "no answer")
        world.guest.failing[.disarm] = GuestFailure(.timedOut, "no answer")
        _ = try await world.run()
        #expect(world.log.count(.disarm) == 1 && world.log.count(.journalClosed) == 0)
    }

    @Test("a dead-man that had to thaw turns the verdict to crash")
    func fired() async throws {
        var world = try World()
        world.guest.fired = "fired"
        let report = try await world.run()
        #expect(report.verdict.consistency == .crash)
        #expect(report.verdict.reasons.first?.contains("dead-man") == true)
    }

    @Test("a guest without guest-exec has the guardian alone, and the manifest says so")
    func withoutExec() async throws {
        var agent = try Sample.agent(survey: nil)
        agent.missingCommands = ["guest-exec"]
        let world = try World(Sample.facts(agent: agent))
        let report = try await world.run()
        #expect(report.exit == 0)
        #expect(report.members.first?.deadMan == .absent)
        #expect(report.members.first?.guardian == .armed)
        #expect(world.log.count(.arm) == 0 && world.log.count(.steady) == 0)
    }

    @Test(
        "a plan that is refused does nothing at all",
        arguments: [
            (Quiesce.ExitStatus.refused, "agent"), (.busy, "job"), (.quarantined, "graph"),
        ])
    func refused(status: Quiesce.ExitStatus, what: String) async throws {
        var facts = try Sample.facts()
        switch what {
        case "agent": facts.agent = .noChannel
        case "job": facts.activeJob = "migration"
        default: facts.disks[0].savedImage = "/srv/kvm/other.qcow2"
        }
        let world = try World(facts)
        let report = try await world.run()
        #expect(report.exit == status.rawValue)
        #expect(report.verdict.consistency == .none)
        #expect(!report.verdict.reasons.isEmpty)
        #expect(world.log.heard.isEmpty)
    }

    @Test("--no-freeze cuts without touching the guest and reaches crash, as asked")
    func noFreeze() async throws {
        var world = try World()
        world.request.freezes = false
        let report = try await world.run()
        #expect(report.exit == 0)
        #expect(report.verdict.consistency == .crash)
        let guestCalls: Set<Heard> = [.rescue, .stood, .clock, .sync, .arm, .steady, .disarm, .freeze, .thaw]
        #expect(guestCalls.isDisjoint(with: world.log.heard))
    }

    @Test("--no-metadata leaves libvirt's list alone")
    func noMetadata() async throws {
        var world = try World()
        world.request.registers = false
        let report = try await world.run()
        #expect(report.exit == 0)
        #expect(world.log.count(.register) == 0)
        #expect(world.log.count(.registering) == 0)
    }

    @Test("a weaker level than asked is kept and has its own status")
    func crashOnly() async throws {
        var world = try World()
        world.guest.freezing = .success(1)
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.crashOnly.rawValue)
        #expect(report.verdict.consistency == .crash)
        #expect(world.journal.manifests.count == 1)
        #expect(world.host.registered == ["nightly"])
    }

    @Test("what fails while preparing costs time or precision, not the snapshot")
    func preparationFails() async throws {
        var world = try World()
        let no = GuestFailure(.refused, "no")
        world.guest.failing = [.sync: no, .disarm: no]
        world.guest.offset = .failure(no)
        let report = try await world.run()
        #expect(report.exit == 0)
        #expect(report.cut?.guestAt == nil)
        #expect(report.members.first?.phases.first { $0.name == .prepare }?.detail?.contains("not synced: no") == true)
    }

    @Test("without the thaw's own connection nothing is frozen")
    func noRescue() async throws {
        let world = try World()
        world.log.refuse(.rescue, Failure(.unreachable, "no second connection"))
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.unreachable.rawValue)
        #expect(world.log.count(.freeze) == 0)
        #expect(world.host.overlays.isEmpty)
    }

    @Test(
        "a journal that refuses before the window keeps the run from freezing",
        arguments: [Heard.journalOpened, .staging, .window])
    func journalRefuses(_ entry: Heard) async throws {
        let world = try World()
        world.log.refuse(entry, Failure(.internalError, "disk full"))
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.internalError.rawValue)
        #expect(report.verdict.consistency == .none)
        #expect(world.log.count(.freeze) == 0)
        #expect(world.log.count(.cut) == 0)
        #expect(world.host.overlays.isEmpty)
    }

    @Test("staging that fails leaves the guest alone", arguments: [Heard.definition, .stage])
    func stagingFails(_ step: Heard) async throws {
        let world = try World()
        world.log.refuse(step, Failure(.refused, "no space"))
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.refused.rawValue)
        #expect(report.verdict.reasons == ["no space"])
        #expect(world.log.count(.freeze) == 0)
        #expect(world.host.overlays.isEmpty)
    }

    @Test(
        "a journal or catalogue that fails after the window hides nothing and undoes nothing",
        arguments: [
            Heard.windowClosed, .catalogue, .journalClosed,
        ])
    func writingFailsLater(_ entry: Heard) async throws {
        let world = try World()
        world.log.refuse(entry, Failure(.internalError, "disk full"))
        let report = try await world.run()
        #expect(report.exit == 0)
        #expect(report.members.first?.snapshot?.disks.count == 2)
        #expect(world.log.count(.thaw) == 1)
        #expect(world.log.count(.merge) == 0)
        #expect(world.log.details(of: .told).contains { $0.contains("disk full") })
    }

    @Test("a snapshot without its manifest keeps the journal's entry open, for recover")
    func leavesWork() async throws {
        let world = try World()
        world.log.refuse(.catalogue, Failure(.internalError, "disk full"))
        #expect(try await world.run().exit == 0)
        #expect(world.log.count(.journalClosed) == 0)
    }

    @Test("a snapshot that libvirt will not list is kept, with a note", arguments: [Heard.registering, .register])
    func registerFails(_ step: Heard) async throws {
        let world = try World()
        world.log.refuse(step, Failure(.refused, "the name is taken"))
        let report = try await world.run()
        #expect(report.exit == 0)
        #expect(report.members.first?.snapshot?.name == "nightly")
        #expect(report.members.first?.phases.first { $0.name == .register }?.status == .failed)
        #expect(world.log.details(of: .told).contains { $0.contains("the name is taken") })
        #expect(world.log.count(.merge) == 0)
    }

    @Test("a filesystem that its image disproves fails verification, and the snapshot is crash at most")
    func verificationFails() async throws {
        var world = try World()
        world.verifier.proofs = [
            Sample.proof("vda1", frozen: true), Sample.proof("vdb", frozen: false, .ok, "needs_recovery"),
        ]
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.verificationFailed.rawValue)
        #expect(report.verdict.consistency == .crash)
        #expect(report.members.first?.verification.filesystem.result == .failed)
        #expect(world.journal.manifests.count == 1)
    }

    @Test("where the counts say that the freeze did not hold, an unfrozen image is no news: 11, not 24")
    func unfrozenAsCounted() async throws {
        var world = try World()
        world.guest.thaws = [.success(1)]
        world.verifier.proofs = [Sample.proof("vda1", frozen: true), Sample.proof("vdb", frozen: false)]
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.crashOnly.rawValue)
        #expect(report.verdict.consistency == .crash)
        #expect(report.members.first?.verification.filesystem.result == .ok)
        // It may be one that no path leads to any more, and is frozen still.
        #expect(world.log.count(.thawAll) == 1)
        #expect(report.verdict.reasons.contains { $0.contains("sysrq j") })
    }

    @Test("what may still be frozen is told where the guest's kernel cannot be asked to thaw it")
    func mayStillBeFrozen() async throws {
        var world = try World()
        world.guest.thaws = [.success(1)]
        world.guest.failing = [.thawAll: GuestFailure(.refused, "guest-exec is not there")]
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.crashOnly.rawValue)
        #expect(report.verdict.reasons.contains { $0.contains("may still be frozen") && $0.contains("sysrq-trigger") })
    }

    @Test(
        "where the dead-man thawed the rest, or as much was thawed as froze, the kernel is not asked",
        arguments: [1, 2])
    func thawedByOthers(count: Int) async throws {
        var world = try World()
        world.guest.thaws = [.success(count)]
        world.guest.fired = count == 1 ? "fired" : nil
        _ = try await world.run()
        #expect(world.log.count(.thawAll) == 0)
    }

    @Test("given up before the freeze, with the guest out of reach, it does not claim a freeze for whoever comes next")
    func givenUpOutOfReach() async throws {
        var world = try World()
        world.guest.failing = [
            .steady: GuestFailure(.timedOut, "no answer"), .disarm: GuestFailure(.timedOut, "no answer"),
        ]
        #expect(try await world.run().exit == Quiesce.ExitStatus.refused.rawValue)
        #expect(world.log.count(.freeze) == 0)
        let left = try #require(try await world.journal.unfinished(of: world.facts.guest).first)
        #expect(!left.mayHaveFrozen)
    }

    @Test("an overlay whose header is not what was planned fails verification, and nothing is undone")
    func headerCheckFails() async throws {
        let world = try World()
        world.log.refuse(.headerCheck, Failure(.verificationFailed, "wrong backing file"))
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.verificationFailed.rawValue)
        #expect(report.members.first?.verification.chain.result == .failed)
        #expect(world.log.count(.merge) == 0)
        #expect(world.host.harm.isEmpty)
    }

    @Test("definitions that disagree after a good cut are quarantine, and no file is touched")
    func disagreesAfterwards() async throws {
        var world = try World()
        world.hypervisor.seeing = { disks in
            var disks = disks
            disks[0].savedImage = "/srv/kvm/db01-root.qcow2"
            return disks
        }
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.quarantined.rawValue)
        #expect(report.verdict.consistency == .none)
        #expect(Set<Heard>([.merge, .discard, .remove]).isDisjoint(with: world.log.heard))
    }
}
