// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

/// What reverts and merges left that did not come to their end.
extension RecoveryTests {
    // MARK: reverts

    @Test("a revert that had taken effect is done, one that had not leaves nothing", arguments: [true, false])
    func reverted(tookEffect: Bool) async throws {
        let world = try World()
        let image = tookEffect ? try #require(world.host.disks[0].activeImage?.path) : "/srv/kvm/new"
        world.host.stage(["/srv/kvm/new"])
        try await died(
            world,
            after: [
                .staging(overlays: ["/srv/kvm/new"]), .reverting(to: "nightly", images: [image], wasActive: false),
            ])
        let report = try await recover(world)
        #expect(report.exit == 0)
        #expect(world.log.details(of: .journalClosed) == [tookEffect ? "done" : "undone"])
        #expect(world.host.overlays.isEmpty != tookEffect)
    }

    @Test(
        "what a revert had staged before it began goes too, and stays open where it cannot", arguments: [true, false])
    func revertStaged(isRemovable: Bool) async throws {
        let world = try World()
        world.host.stage(["/srv/kvm/new"])
        if !isRemovable { world.log.refuse(.discard, Failure(.internalError, "no")) }
        try await died(world, after: [.staging(overlays: ["/srv/kvm/new"])])
        let report = try await recover(world)
        #expect(report.exit == (isRemovable ? 0 : 20))
        #expect(world.log.details(of: .journalClosed) == (isRemovable ? ["undone"] : []))
        #expect(world.host.overlays.isEmpty == isRemovable)
    }

    // MARK: merges

    /// A good snapshot, and a commit of it that dies after its first entry.
    private func halfCommitted(_ done: Int) async throws -> World {
        let world = try World()
        #expect(try await world.run().exit == 0)
        let merges = world.plan.disks.map { Merge(target: $0.target, top: $0.overlay, base: $0.base.path) }
        let run = try #require(RunID("1123456789abcdef0123456789abcdef"))
        try await world.journal.open(run, for: world.facts.guest, named: "nightly", at: Sample.start)
        try await world.journal.record(.merging(merges), of: run, at: Sample.start)
        world.host.merge(Array(merges.prefix(done)))
        return world
    }

    @Test(
        "a commit that died is resumed where it stood, and all of it goes that a commit removes", arguments: [0, 1, 2])
    func resumed(_ done: Int) async throws {
        let world = try await halfCommitted(done)
        let report = try await recover(world)
        #expect(report.exit == 0, "\(report.text())")
        #expect(world.log.count(.merge) == (done == 2 ? 0 : 1))
        #expect(world.log.heard(.removing, before: .remove))
        #expect(world.host.overlays.isEmpty && world.host.registered.isEmpty)
        #expect(world.log.details(of: .mark) == ["committed"])
        #expect(world.host.disks.allSatisfy { $0.disagreement == nil })
        try await expectNothingLeftToDo(world)
    }

    @Test(
        "a delete from the middle is made again; where that fails it is told, and closed for others to do",
        arguments: [true, false])
    func deletedFromTheMiddle(isPossible: Bool) async throws {
        let world = try World()
        #expect(try await world.run().exit == 0)
        if !isPossible { world.log.refuse(.mergedIdle, Failure(.busy, "somebody else is at it")) }
        let merges = world.plan.disks.map {
            Merge(target: $0.target, top: $0.overlay, base: $0.base.path, isHead: false)
        }
        try await died(world, after: [.merging(merges)])
        let report = try await recover(world)
        #expect(report.exit == 0)
        #expect(world.log.count(.mergedIdle) == 1)
        #expect(world.log.details(of: .journalClosed).last == (isPossible ? "done" : "failed"))
        #expect(report.text().contains("somebody else is at it") != isPossible)
    }

    @Test("a merge that cannot be resumed leaves the overlays and the run open")
    func notResumed() async throws {
        let world = try await halfCommitted(1)
        world.log.refuse(.merge, Failure(.busy, "a backup runs"))
        let report = try await recover(world)
        #expect(report.exit == 75)
        #expect(world.log.count(.remove) == 0 && world.host.overlays.count == 2)
        #expect(try await world.journal.unfinished().count == 1)
    }
}
