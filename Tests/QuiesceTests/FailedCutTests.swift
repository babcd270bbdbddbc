// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("A cut that fails", .timeLimit(.minutes(1)))
struct FailedCutTests {
    private let failure = Failure(.snapshotFailed, "internal error: transaction failed")

    @Test("when it hangs past the deadline the thaw goes out first, and the verdict is crash at most")
    func hangs() async throws {
        var world = try World()
        world.hypervisor.cutting = .hangs
        let report = try await world.run()
        #expect(world.log.count(.thaw) == 1)
        #expect(report.verdict.consistency == .crash)
        #expect(report.exit == Quiesce.ExitStatus.crashOnly.rawValue)
        #expect(report.verdict.reasons.contains("the cut ended after the thaw was sent"))
        #expect(report.members.first?.snapshot != nil)
    }

    @Test("when the disks moved all the same the snapshot is adopted, with a reason")
    func movedAnyway() async throws {
        var world = try World()
        world.hypervisor.cutting = .failsAfterMoving(failure)
        let report = try await world.run()
        #expect(report.exit == 0)
        #expect(report.verdict.consistency == .filesystem)
        #expect(report.verdict.reasons.contains { $0.contains(failure.message) })
        #expect(report.members.first?.snapshot?.disks.count == 2)
        #expect(world.log.count(.discard) == 0)
        #expect(world.log.details(of: .windowClosed) == ["cut true, thawed true"])
    }

    @Test("when nothing moved it is 22, and the overlays are discarded after QEMU was asked")
    func nothingMoved() async throws {
        var world = try World()
        world.hypervisor.cutting = .failsInPlace(failure)
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.snapshotFailed.rawValue)
        #expect(report.verdict.consistency == .none)
        #expect(report.verdict.reasons.first?.contains(failure.message) == true)
        #expect(world.log.heard(.thaw, before: .disks))
        #expect(world.log.heard(.disks, before: .discard))
        #expect(world.host.overlays.isEmpty && world.host.harm.isEmpty)
        #expect(world.log.count(.register) == 0)
    }

    @Test("when QEMU and the definitions disagree it is 25, and no file is touched")
    func disagrees() async throws {
        var world = try World()
        world.hypervisor.cutting = .failsHalfway(failure)
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.quarantined.rawValue)
        #expect(report.verdict.consistency == .none)
        #expect(Set<Heard>([.discard, .merge, .remove, .register]).isDisjoint(with: world.log.heard))
        #expect(world.log.count(.thaw) == 1)
        #expect(world.host.overlays.count == 2)
    }

    @Test("when only some disks moved it is 25, and no file is touched")
    func movedPartly() async throws {
        var world = try World()
        world.hypervisor.cutting = .failsAfterMovingOne(failure)
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.quarantined.rawValue)
        #expect(report.verdict.reasons.first?.contains("vda") == true)
        #expect(Set<Heard>([.discard, .merge, .remove]).isDisjoint(with: world.log.heard))
    }

    @Test("when QEMU cannot be asked afterwards no file is touched and the journal does not say undone")
    func qemuCannotBeAsked() async throws {
        var world = try World()
        world.hypervisor.cutting = .failsAfterMoving(failure)
        world.log.refuse(.disks, Failure(.unreachable, "libvirtd is gone"))
        let report = try await world.run()
        #expect(report.exit != 0)
        #expect(report.verdict.consistency == .none)
        #expect(Set<Heard>([.discard, .merge, .remove]).isDisjoint(with: world.log.heard))
        #expect(world.log.count(.thaw) == 1)
        #expect(world.log.details(of: .journalClosed) != ["undone"])
    }

    @Test("while nobody knows where the guest writes it is in quarantine, even if QEMU would answer again")
    func qemuAnswersLate() async throws {
        var world = try World()
        world.hypervisor.cutting = .failsAfterMoving(failure)
        world.log.refuse(.disks, Failure(.unreachable, "libvirtd restarts"), times: 1)
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.quarantined.rawValue)
        #expect(world.host.harm.isEmpty)
        #expect(world.host.overlays.count == 2)
    }

    @Test("disks that switched behind an error which libvirt cannot save are 25: the next daemon would forget them")
    func unsaved() async throws {
        var world = try World()
        world.hypervisor.cutting = .failsAfterMoving(Failure(.snapshotFailed, "Permission denied"))
        world.log.refuse(.saved, Failure(.internalError, "Permission denied"))
        let report = try await world.run()
        #expect(report.exit == 25)
        #expect(report.error?.hint?.contains("recover db01 --repair") == true)
        #expect(world.journal.manifests.count == 1 && world.host.overlays.count == 2)
        #expect(world.log.count(.thaw) == 1 && world.log.count(.merge) == 0)
    }
}
