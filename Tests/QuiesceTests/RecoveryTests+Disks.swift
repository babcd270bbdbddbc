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

    /// A good snapshot, and a merge of some of its disks, not from the top, that dies after its first entry.
    private func diedInTheMiddle(of disks: Int = 2) async throws -> World {
        let world = try World()
        #expect(try await world.run().exit == 0)
        let merges = world.plan.disks.prefix(disks).map {
            Merge(target: $0.target, top: $0.overlay, base: $0.base.path, isHead: false)
        }
        try await died(world, after: [.merging(merges)])
        return world
    }

    @Test("a merge in the middle is made again, of the disks that it was of and no others", arguments: [1, 2])
    func inTheMiddle(of disks: Int) async throws {
        let world = try await diedInTheMiddle(of: disks)
        #expect(try await recover(world).exit == 0)
        let again = world.plan.disks.prefix(disks).map { "\($0.overlay)>\($0.base.path)" }.joined(separator: " ")
        #expect(world.log.details(of: .mergedIdle) == [again] && world.log.count(.merge) == 0)
        #expect(world.log.details(of: .journalClosed).last == "done")
    }

    @Test(
        "what refuses it is told and closes it; else it stays open",
        arguments: [Quiesce.ExitStatus.refused, .busy, .interrupted, .quarantined])
    func notInTheMiddle(_ status: Quiesce.ExitStatus) async throws {
        let world = try await diedInTheMiddle()
        world.log.refuse(.mergedIdle, Failure(status, "somebody else is at it"))
        let report = try await recover(world)
        let isRefused = status == .refused
        #expect(report.exit == (isRefused ? 0 : status.rawValue))
        #expect(report.text().contains("somebody else is at it"))
        #expect(try await world.journal.unfinished().count == (isRefused ? 0 : 1))
    }

    @Test("a job that QEMU went on with is ended first")
    func runningInTheMiddle() async throws {
        var world = try await diedInTheMiddle()
        world.hypervisor.seeing = { disks in
            var disks = disks
            disks[0].blockJob = "commit"
            return disks
        }
        #expect(try await recover(world).exit == 0)
        #expect(world.log.count(.merge) == 1 && world.log.heard(.merge, before: .mergedIdle))
    }

    @Test("what was laid on a merge's top since makes it one from the middle")
    func laidOnSince() async throws {
        var world = try await halfCommitted(0)
        world.hypervisor.seeing = { disks in
            var disks = disks
            let image = ImageLayer(path: "/srv/kvm/since", format: "qcow2")
            disks[0].liveChain.insert(image, at: 0)
            disks[0].qemuChain = disks[0].liveChain
            disks[0].savedImage = image.path
            return disks
        }
        #expect(try await recover(world).exit == 0)
        #expect(world.log.count(.mergedIdle) == 1 && world.log.count(.remove) == 0)
    }

    @Test("what the guest is neither on nor went back from is left alone: nobody knows what is in it")
    func elsewhere() async throws {
        var world = try await halfCommitted(0)
        world.hypervisor.seeing = { disks in
            disks.map { disk in
                var disk = disk
                let image = ImageLayer(path: disk.liveChain[0].path + ".else", format: "qcow2")
                disk.liveChain = [image] + disk.liveChain.dropFirst()
                (disk.qemuChain, disk.savedImage) = (disk.liveChain, image.path)
                return disk
            }
        }
        let report = try await recover(world)
        #expect(report.exit == 0 && report.text().contains("nobody knows"))
        #expect(world.log.count(.mergedIdle) == 0 && world.log.count(.remove) == 0 && world.host.overlays.count == 2)
        #expect(world.log.details(of: .journalClosed).last == "failed")
    }

    @Test("a guest that is paused has its merge resumed, since QEMU is there")
    func resumedPaused() async throws {
        var world = try await halfCommitted(0)
        world.hypervisor.facts.power = .paused("I/O error")
        #expect(try await recover(world).exit == 0)
        #expect(world.log.count(.merge) == 1 && world.host.overlays.isEmpty)
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
