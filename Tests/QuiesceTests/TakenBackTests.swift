// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("A snapshot that is taken back", .timeLimit(.minutes(1)))
struct TakenBackTests {
    /// A run that requires `filesystem` and finds one filesystem unfrozen.
    private func missing() throws -> World {
        var world = try World()
        world.request.required = .filesystem
        world.guest.freezing = .success(1)
        world.guest.thaws = [.success(1)]
        return world
    }

    @Test("a required level that is missed is merged back, removed and unregistered: 12")
    func requiredMissed() async throws {
        let world = try missing()
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.requiredLevelMissed.rawValue)
        #expect(report.verdict.consistency == .none)
        #expect(report.verdict.reasons.contains { $0.contains("1 filesystem frozen of 2 expected") })
        #expect(report.members.first?.snapshot == nil)
        #expect(world.log.heard.suffix(6) == [.merging, .merge, .removing, .remove, .unregister, .journalClosed])
        #expect(
            world.log.details(of: .merge).first?.contains("\(Sample.rootOverlay) into /srv/kvm/db01-root.qcow2") == true
        )
        #expect(world.host.overlays.isEmpty && world.host.registered.isEmpty && world.host.harm.isEmpty)
        #expect(
            world.host.disks.map { $0.activeImage?.path } == ["/srv/kvm/db01-root.qcow2", "/srv/kvm/db01-data.qcow2"])
        #expect(world.log.details(of: .journalClosed) == ["undone"])
        #expect(world.journal.manifests.isEmpty)
        #expect(report.error?.code == report.exit && report.error?.message == report.verdict.reasons.last)
    }

    @Test("a required level that is reached is kept")
    func requiredReached() async throws {
        var world = try World()
        world.request.required = .filesystem
        #expect(try await world.run().exit == 0)
        #expect(world.log.count(.merge) == 0)
    }

    @Test("a merge that fails leaves the snapshot in place, and everybody is told")
    func mergeFails() async throws {
        let world = try missing()
        world.log.refuse(.merge, Failure(.internalError, "job cancelled"))
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.requiredLevelMissed.rawValue)
        #expect(report.members.first?.snapshot?.disks.count == 2)
        #expect(report.verdict.reasons.contains { $0.contains("could not be undone") && $0.contains("job cancelled") })
        // The merge was begun, and may have written to the frozen images.
        #expect(report.verdict.consistency == .none && world.log.details(of: .mark) == ["merging"])
        #expect(world.journal.manifests.count == 1)
        #expect(report.error?.message == report.verdict.reasons.last)
        #expect(Set<Heard>([.remove, .discard, .unregister]).isDisjoint(with: world.log.heard))
        #expect(world.host.overlays.count == 2 && world.host.harm.isEmpty)
    }

    @Test("a merge that stops half-way is told disk by disk, and what merged is no part of the snapshot any more")
    func mergeStops() async throws {
        var world = try missing()
        world.hypervisor.mergeStopsAfter = 1
        let report = try await world.run()
        #expect(report.members.first?.snapshot?.disks.map(\.target.description) == ["vdb"])
        #expect(report.verdict.consistency == .none)
        #expect(report.error?.message.contains("vda merged back, vdb on the overlay still: job cancelled") == true)
        #expect(world.journal.manifests.first?.members.first?.snapshot?.disks.count == 1)
        #expect(world.log.details(of: .journalClosed) == ["failed"])
        #expect(world.log.count(.remove) == 1 && world.host.harm.isEmpty)
        #expect(world.host.overlays == [Sample.dataOverlay])
    }

    @Test("what merged and cannot be removed is left to recovery")
    func leftOfHalf() async throws {
        var world = try missing()
        world.hypervisor.mergeStopsAfter = 1
        world.log.refuse(.remove, Failure(.internalError, "no"))
        _ = try await world.run()
        #expect(world.log.count(.journalClosed) == 0)
    }

    @Test("where the disks cannot be looked at after a failed merge, none is taken for merged")
    func mergeStopsUnseen() async throws {
        var world = try missing()
        world.hypervisor.mergeStopsAfter = 1
        world.log.cue(.merge) { [log = world.log] in log.refuse(.disks, Failure(.unreachable, "gone")) }
        let report = try await world.run()
        #expect(report.members.first?.snapshot?.disks.count == 2)
        #expect(report.error?.message.contains("could not be undone") == true)
        #expect(report.verdict.consistency == .none)
        // `recover` has to look what became of it.
        #expect(world.log.count(.journalClosed) == 0)
    }

    @Test("a snapshot that could not be taken back is not closed as undone")
    func mergeFailsEnding() async throws {
        let world = try missing()
        world.log.refuse(.merge, Failure(.internalError, "job cancelled"))
        _ = try await world.run()
        #expect(world.log.details(of: .journalClosed) == ["failed"])
    }

    @Test("a journal that refuses the merge's entry keeps the merge from happening")
    func journalRefusesMerge() async throws {
        let world = try missing()
        world.log.refuse(.merging, Failure(.internalError, "disk full"))
        let report = try await world.run()
        #expect(world.log.count(.merge) == 0)
        #expect(report.members.first?.snapshot != nil)
        #expect(world.host.harm.isEmpty)
    }

    @Test(
        "once merged it is no snapshot any more, even if its files or its name cannot be removed",
        arguments: [
            Heard.removing, .remove, .unregister,
        ])
    func leftovers(_ step: Heard) async throws {
        let world = try missing()
        world.log.refuse(step, Failure(.internalError, "no"))
        let report = try await world.run()
        #expect(report.verdict.consistency == .none)
        #expect(report.members.first?.snapshot == nil)
        #expect(report.verdict.reasons.contains { $0.contains("no") })
        #expect(world.journal.manifests.isEmpty)
    }

    @Test("a name that was taken by somebody else meanwhile is not unregistered")
    func foreignName() async throws {
        let world = try missing()
        world.log.refuse(.register, Failure(.refused, "the name is taken"))
        let report = try await world.run()
        #expect(world.log.count(.unregister) == 0)
        #expect(report.members.first?.phases.first { $0.name == .undo }?.status == .ok)
        #expect(world.host.overlays.isEmpty)
    }

    @Test("--no-metadata has nothing to unregister")
    func noMetadata() async throws {
        var world = try missing()
        world.request.registers = false
        _ = try await world.run()
        #expect(world.log.count(.unregister) == 0)
        #expect(world.host.overlays.isEmpty)
    }
}
