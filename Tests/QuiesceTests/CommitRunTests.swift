// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("Commit", .timeLimit(.minutes(1)))
struct CommitRunTests {
    /// A guest with one good snapshot of both disks.
    private func world() async throws -> World {
        let world = try World()
        #expect(try await world.run().exit == 0)
        return world
    }

    private func commit(_ world: World, _ request: CommitRun.Request = .init()) async throws -> CommitReport {
        let run = CommitRun(
            world.facts.guest, hypervisor: world.hypervisor, images: ScriptedImages(log: world.log, host: world.host),
            journal: world.journal, catalogue: world.journal, time: world.time
        ) { _ in }
        return try await run.execute(try await run.plan(request), request)
    }

    private func change(_ world: World, _ body: @escaping @Sendable (inout [DiskFacts]) -> Void) -> World {
        var world = world
        world.hypervisor.seeing = { disks in
            var disks = disks
            body(&disks)
            return disks
        }
        return world
    }

    @Test("the newest snapshot is merged, its files and its name go, and every step is written down first")
    func newest() async throws {
        let world = try await world()
        let before = world.log.heard.count
        let report = try await commit(world)
        #expect(
            Array(world.log.heard.dropFirst(before)) == [
                .observe, .journalOpened, .merging, .merge, .removing, .remove, .unregister, .mark, .journalClosed,
            ])
        #expect(report.snapshots == ["nightly"])
        #expect(report.removed == [Sample.rootOverlay, Sample.dataOverlay])
        #expect(world.host.overlays.isEmpty && world.host.registered.isEmpty && world.host.harm.isEmpty)
        #expect(world.log.details(of: .mark) == ["committed"])
    }

    @Test("--all on overlays whose bases are all used by others is refused, not done without a word")
    func allShared() throws {
        var facts = try Sample.facts()
        for index in facts.disks.indices {
            let base = facts.disks[index].liveChain[0]
            facts.disks[index].liveChain.insert(ImageLayer(path: base.path + ".over", format: "qcow2"), at: 0)
            facts.disks[index].savedImage = base.path + ".over"
            facts.disks[index].qemuChain = facts.disks[index].liveChain
            facts.sharedImages[base.path] = ["db02"]
        }
        var request = CommitRun.Request()
        request.all = true
        let failure = #expect(throws: Failure.self) { try CommitPlan(facts, [], request) }
        #expect(failure?.status == .refused)
    }

    @Test("one disk alone leaves the snapshot in being")
    func oneDisk() async throws {
        let world = try await world()
        var request = CommitRun.Request()
        request.disks = try Sample.targets("vdb")
        let report = try await commit(world, request)
        #expect(report.removed == [Sample.dataOverlay])
        #expect(report.snapshots.isEmpty)
        #expect(world.log.count(.mark) == 0 && world.log.count(.unregister) == 0)
        #expect(world.host.registered == ["nightly"])
    }

    @Test("an overlay that an interrupted commit left behind goes with the rest")
    func leftBehind() async throws {
        let world = try await world()
        world.log.refuse(.removing, Failure(.internalError, "killed"), times: 1)
        var request = CommitRun.Request()
        request.disks = try Sample.targets("vdb")
        await #expect(throws: Failure.self) { try await commit(world, request) }
        let report = try await commit(world)
        #expect(report.disks.map(\.target) == [try #require(DiskTarget("vda"))])
        #expect(Set(report.removed) == [Sample.rootOverlay, Sample.dataOverlay])
        #expect(report.snapshots == ["nightly"])
    }

    @Test("a commit that stops half-way stays open in the journal; one that moved nothing is closed")
    func halfWay() async throws {
        let world = try await world()
        let closed = world.log.count(.journalClosed)
        world.log.refuse(.merge, Failure(.internalError, "no"), times: 1)
        await #expect(throws: Failure.self) { try await commit(world) }
        #expect(world.log.count(.journalClosed) == closed + 1)
        world.log.refuse(.removing, Failure(.internalError, "disk full"), times: 1)
        await #expect(throws: Failure.self) { try await commit(world) }
        #expect(world.log.count(.journalClosed) == closed + 1)
    }

    @Test("what is not there cannot be committed", arguments: ["other", "nightly2"])
    func unknownName(_ name: String) async throws {
        let world = try await world()
        var request = CommitRun.Request()
        request.name = name
        let failure = try await #require(throws: Failure.self) { try await commit(world, request) }
        #expect(failure.status == .noSuchThing)
        #expect(world.log.count(.merge) == 0)
    }

    @Test("an unknown disk is a usage error")
    func unknownDisk() async throws {
        let world = try await world()
        var request = CommitRun.Request()
        request.disks = try Sample.targets("vdz")
        let failure = try await #require(throws: Failure.self) { try await commit(world, request) }
        #expect(failure.status == .usage)
    }

    @Test("a guest in quarantine is not merged")
    func quarantined() async throws {
        let world = change(try await world()) { $0[0].savedImage = "/srv/kvm/db01-root.qcow2" }
        let failure = try await #require(throws: Failure.self) { try await commit(world) }
        #expect(failure.status == .quarantined)
        #expect(world.log.count(.merge) == 0)
    }

    @Test("a snapshot that a newer layer stands on is refused")
    func notNewest() async throws {
        let world = change(try await world()) { disks in
            let newer = ImageLayer(path: "/srv/kvm/db01-root.newer", format: "qcow2")
            disks[0].liveChain.insert(newer, at: 0)
            disks[0].qemuChain?.insert(newer, at: 0)
            disks[0].savedImage = newer.path
        }
        let failure = try await #require(throws: Failure.self) { try await commit(world) }
        #expect(failure.status == .refused)
        #expect(world.log.count(.merge) == 0)
    }

    @Test("a merge that fails touches no file and ends as failed")
    func mergeFails() async throws {
        let world = try await world()
        world.log.refuse(.merge, Failure(.busy, "job cancelled"))
        let failure = try await #require(throws: Failure.self) { try await commit(world) }
        #expect(failure.message == "job cancelled")
        #expect(world.log.count(.remove) == 0)
        #expect(world.host.overlays.count == 2 && world.host.harm.isEmpty)
        #expect(world.log.details(of: .journalClosed).last == "failed")
    }

    @Test("a journal that refuses keeps the merge from happening", arguments: [Heard.journalOpened, .merging])
    func journalRefuses(_ entry: Heard) async throws {
        let world = try await world()
        world.log.refuse(entry, Failure(.internalError, "disk full"))
        await #expect(throws: Failure.self) { try await commit(world) }
        #expect(world.log.count(.merge) == 0)
    }
}
