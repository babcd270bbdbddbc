// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("An interrupted run", .timeLimit(.minutes(1)))
struct InterruptedRunTests {
    private func expectNothingLeft(_ world: World, _ report: RunReport) {
        #expect(report.verdict.consistency == .none)
        #expect(report.members.first?.snapshot == nil)
        #expect(world.host.overlays.isEmpty)
        #expect(world.host.harm.isEmpty)
        #expect(world.host.registered.isEmpty)
        #expect(world.log.count(.freeze) == world.log.count(.thaw))
        #expect(world.journal.manifests.isEmpty)
    }

    @Test("before the stage nothing has been done", arguments: [Quiesce.ExitStatus.interrupted, .terminated, .hungUp])
    func beforeStage(_ status: Quiesce.ExitStatus) async throws {
        let world = try World()
        world.interruption.ask(status)
        let report = try await world.run()
        #expect(report.exit == status.rawValue)
        #expect(world.log.count(.stage) == 0)
        expectNothingLeft(world, report)
    }

    @Test(
        "before the freeze the staged overlays go and the guest is never frozen",
        arguments: [
            Heard.journalOpened, .staging, .definition, .stage, .rescue, .stood, .clock, .arm, .sync, .window, .steady,
        ])
    func beforeFreeze(_ step: Heard) async throws {
        for status in [Quiesce.ExitStatus.interrupted, .terminated, .hungUp] {
            let world = try World()
            world.interrupt(at: step, status)
            let report = try await world.run()
            #expect(report.exit == status.rawValue)
            #expect(world.log.count(.freeze) == 0)
            expectNothingLeft(world, report)
        }
    }

    @Test("an interrupted preparation does nothing more in the guest", arguments: [Heard.rescue, .clock])
    func duringPreparation(_ step: Heard) async throws {
        let world = try World()
        world.interrupt(at: step)
        _ = try await world.run()
        #expect(world.log.count(.arm) == 0)
        #expect(world.log.count(.sync) == 0)
    }

    @Test("the dead-man is called off, and with it RCU put back, when the run stops after it")
    func calledOff() async throws {
        let world = try World()
        world.interrupt(at: .arm)
        _ = try await world.run()
        #expect(world.log.count(.disarm) == 1)
        #expect(world.log.count(.dismissed) == 1)
        #expect(world.log.count(.sync) == 0)
    }

    @Test(
        "inside the window before the cut it thaws, asks QEMU and discards",
        arguments: [
            Quiesce.ExitStatus.interrupted, .terminated, .hungUp,
        ])
    func duringFreeze(_ status: Quiesce.ExitStatus) async throws {
        let world = try World()
        world.interrupt(at: .freeze, status)
        let report = try await world.run()
        #expect(report.exit == status.rawValue)
        #expect(world.log.count(.cut) == 0)
        #expect(world.log.heard(.thaw, before: .disks) && world.log.heard(.disks, before: .discard))
        expectNothingLeft(world, report)
    }

    @Test(
        "after the cut it thaws and takes the snapshot back",
        arguments: [
            Heard.cut, .thaw, .disarm, .windowClosed, .register, .imageCheck,
        ])
    func afterCut(_ step: Heard) async throws {
        for status in [Quiesce.ExitStatus.interrupted, .terminated, .hungUp] {
            let world = try World()
            world.interrupt(at: step, status)
            let report = try await world.run()
            #expect(report.exit == status.rawValue)
            #expect(world.log.heard(.thaw, before: .merge))
            expectNothingLeft(world, report)
        }
    }

    @Test("when everything is kept already it is too late to take it back")
    func tooLate() async throws {
        let world = try World()
        world.interrupt(at: .catalogue)
        let report = try await world.run()
        #expect(report.exit == 0)
        #expect(report.members.first?.snapshot != nil)
        #expect(world.log.count(.merge) == 0)
    }

    @Test("a guest that may still be frozen stays the first thing to say")
    func maybeFrozen() async throws {
        var world = try World()
        world.guest.thaws = [.failure(GuestFailure(.timedOut, "silence"))]
        world.interrupt(at: .cut)
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.maybeFrozen.rawValue)
        #expect(world.log.count(.merge) == 0)
    }

    @Test("a guest in quarantine is not merged, interrupted or not")
    func quarantined() async throws {
        var world = try World()
        world.hypervisor.seeing = { disks in
            var disks = disks
            disks[0].savedImage = "/srv/kvm/db01-root.qcow2"
            return disks
        }
        world.interrupt(at: .cut)
        let report = try await world.run()
        #expect(Set<Heard>([.merge, .remove, .discard]).isDisjoint(with: world.log.heard))
        #expect(report.exit == Quiesce.ExitStatus.quarantined.rawValue)
    }

    @Test("a freeze that fails while the run is interrupted is thawed, and nothing is left")
    func failedFreeze() async throws {
        var world = try World()
        world.guest.freezing = .failure(GuestFailure(.timedOut, "silence"))
        world.interrupt(at: .freeze)
        let report = try await world.run()
        #expect(
            [Quiesce.ExitStatus.interrupted.rawValue, Quiesce.ExitStatus.freezeFailed.rawValue].contains(report.exit))
        expectNothingLeft(world, report)
    }

    @Test("a cancelled task thaws and ends like any other")
    func cancelledTask() async throws {
        let world = try World()
        let task = Task { try await world.run() }
        task.cancel()
        let report = try await task.value
        #expect(world.log.count(.thaw) == 1)
        #expect(report.exit == 0)
    }
}
