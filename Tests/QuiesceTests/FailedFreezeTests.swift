// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("A freeze that fails", .timeLimit(.minutes(1)))
struct FailedFreezeTests {
    @Test(
        "thaw is sent until it is proved, the status is 21, and overlays go only after QEMU was asked",
        arguments: [
            GuestFailure.Kind.timedOut, .refused, .notConnected,
        ])
    func failed(_ kind: GuestFailure.Kind) async throws {
        var world = try World()
        world.guest.freezing = .failure(GuestFailure(kind, "no answer"))
        world.guest.thaws = [
            .failure(GuestFailure(.timedOut, "silence")), .failure(GuestFailure(.busy, "job")), .success(0),
        ]
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.freezeFailed.rawValue)
        #expect(report.verdict.consistency == .none)
        #expect(world.log.count(.thaw) == 3)
        #expect(world.log.count(.cut) == 0)
        #expect(world.log.heard(.thaw, before: .disks))
        #expect(world.log.heard(.disks, before: .discard))
        #expect(world.host.overlays.isEmpty)
        #expect(world.host.harm.isEmpty)
        #expect(world.log.details(of: .journalClosed) == ["undone"])
    }

    @Test("another's freeze is not thawed, and nothing claims that it was")
    func alreadyFrozen() async throws {
        var world = try World()
        world.guest.freezing = .failure(GuestFailure(.alreadyFrozen, "already frozen"))
        let report = try await world.run()
        #expect(world.log.count(.thaw) == 0)
        #expect(report.exit == Quiesce.ExitStatus.refused.rawValue)
        #expect(!report.verdict.reasons.joined().contains("is thawed"))
        #expect(world.host.overlays.isEmpty)
    }

    @Test("staged overlays stay where QEMU cannot be asked, and the report says so")
    func qemuCannotBeAsked() async throws {
        var world = try World()
        world.guest.freezing = .failure(GuestFailure(.refused, "no"))
        world.log.refuse(.disks, Failure(.unreachable, "libvirtd is gone"))
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.freezeFailed.rawValue)
        #expect(world.log.count(.discard) == 0)
        #expect(world.host.overlays == [Sample.rootOverlay, Sample.dataOverlay])
        #expect(report.verdict.reasons.contains { $0.contains("libvirtd is gone") })
    }

    @Test("an overlay that was never used and cannot be removed leaves the run open, for recovery")
    func leftOverlay() async throws {
        var world = try World()
        world.guest.freezing = .failure(GuestFailure(.refused, "no"))
        world.log.refuse(.discard, Failure(.internalError, "no"))
        _ = try await world.run()
        #expect(world.log.count(.journalClosed) == 0 && world.host.overlays.count == 2)
        #expect(try await world.journal.unfinished().count == 1)
    }

    @Test("a thaw that never answers is 30 with the guest's name, and nothing is discarded or merged")
    func neverThawed() async throws {
        var world = try World()
        world.guest.thaws = [.failure(GuestFailure(.timedOut, "silence"))]
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.maybeFrozen.rawValue)
        #expect(report.verdict.consistency == .none)
        #expect(report.verdict.reasons.first?.contains("db01 may still be frozen") == true)
        #expect(Set<Heard>([.discard, .merge, .remove, .register]).isDisjoint(with: world.log.heard))
        #expect(world.log.details(of: .journalClosed) == [])
        #expect(world.time.elapsed >= Thaw.patience)
    }

    @Test("journal and catalogue know that the disks were cut, even when the thaw could not be proved")
    func neverThawedButCut() async throws {
        var world = try World()
        world.guest.thaws = [.failure(GuestFailure(.timedOut, "silence"))]
        _ = try await world.run()
        #expect(world.log.details(of: .windowClosed) == ["cut true, thawed false"])
        #expect(world.journal.manifests.first?.members.first?.snapshot?.disks.count == 2)
    }

    @Test("a thaw that answers at the third attempt is a thaw; the window was as long as it took")
    func thirdAttempt() async throws {
        var world = try World()
        let silence = Result<Int, GuestFailure>.failure(GuestFailure(.timedOut, "silence"))
        world.guest.thaws = [silence, silence, .success(2)]
        let report = try await world.run()
        #expect(world.log.count(.thaw) == 3)
        #expect(report.exit == Quiesce.ExitStatus.crashOnly.rawValue)
        #expect(report.verdict.reasons.contains { $0.contains("the window took 10") })
        #expect(report.members.first?.snapshot != nil)
    }

    @Test("more thawed than frozen is crash: another's freeze was undone with ours")
    func moreThawed() async throws {
        var world = try World()
        world.guest.thaws = [.success(3)]
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.crashOnly.rawValue)
        #expect(report.members.first?.freeze?.guestReported == .init(frozen: 2, thawed: 3))
    }
}
