// SPDX-License-Identifier: Apache-2.0

import Synchronization
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

    private func commit(
        _ world: World, _ request: CommitRun.Request = .init(), free: Int64 = 1 << 40
    ) async throws -> CommitReport {
        let life = ScriptedLife(world.facts, log: world.log, host: world.host)
        life.know(
            world.host.registered.map { name in
                RegisteredSnapshot(name: name, createdAt: world.journal.manifests.first?.cut?.at.seconds ?? 0)
            })
        var ports = world.life(life)
        ports.layers = ScriptedLayers(log: world.log, host: world.host, free: free)
        let run = CommitRun(world.facts.guest, through: ports) { _ in }
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
                .observe, .journalOpened, .merging, .mark, .merge, .disks, .definition, .defined, .disks, .removing,
                .remove,
                .forgotten, .mark, .journalClosed,
            ])
        #expect(report.snapshots == ["nightly"])
        #expect(report.removed == [Sample.rootOverlay, Sample.dataOverlay])
        #expect(world.host.overlays.isEmpty && world.host.registered.isEmpty && world.host.harm.isEmpty)
        #expect(world.log.details(of: .mark) == ["merging", "committed"])
    }

    @Test("--all on overlays whose bases are all used by others is refused, not done without a word")
    func allShared() throws {
        var facts = try Sample.facts()
        var strangers: [String: Set<String>] = [:]
        for index in facts.disks.indices {
            let base = facts.disks[index].liveChain[0]
            facts.disks[index].liveChain.insert(ImageLayer(path: base.path + ".over", format: "qcow2"), at: 0)
            facts.disks[index].savedImage = base.path + ".over"
            facts.disks[index].qemuChain = facts.disks[index].liveChain
            strangers[base.path] = ["db02"]
        }
        var request = CommitRun.Request()
        request.all = true
        let lineage = Lineage(
            of: facts.guest, active: facts.disks.reduce(into: [:]) { $0[$1.target] = $1.liveChain },
            strangers: strangers)
        let failure = #expect(throws: Failure.self) { try CommitPlan(request, facts, lineage, [], at: Sample.start) }
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
        #expect(world.log.details(of: .mark) == ["merging", "kept"] && world.log.count(.forgotten) == 0)
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
        let failure = await #expect(throws: Failure.self) { try await commit(world) }
        #expect(world.log.count(.journalClosed) == closed + 1)
        #expect(failure?.hint == "stillpoint recover \(world.facts.guest.name)")
    }

    @Test("a wish to end that comes before the merge leaves the snapshot as it is")
    func askedToEnd() async throws {
        let world = try await world()
        let before = world.log.heard.count
        let interruption = Interruption()
        interruption.ask(.terminated)
        var request = CommitRun.Request()
        request.options.interruption = interruption
        let failure = await #expect(throws: Failure.self) { try await commit(world, request) }
        #expect(failure?.status == .terminated)
        #expect(Array(world.log.heard.dropFirst(before)) == [.observe])
    }

    @Test("a snapshot whose merge was begun is none any more until the merge is ended")
    func begun() async throws {
        let world = try await world()
        let run = try #require(world.journal.manifests.first.flatMap { RunID($0.run) })
        let disks = try #require(world.journal.manifests.first?.members.first?.snapshot?.disks)
        world.log.refuse(.merge, Failure(.busy, "too slow"), times: 1)
        await #expect(throws: Failure.self) { try await commit(world) }
        let entry = try #require(try await world.journal.entries(of: world.facts.guest).first)
        #expect(entry.fate == .merging)
        let snapshot = Lineage.Snapshot(
            name: "nightly", entry: entry, registered: nil, memory: nil,
            overlays: disks.reduce(into: [:]) { $0[$1.target] = $1.overlay }, createdAt: 0, disks: disks)
        let lineage = Lineage(
            of: world.facts.guest,
            active: disks.reduce(into: [:]) {
                $0[$1.target] = [ImageLayer(path: $1.overlay, format: "qcow2")] + $1.chain
            }, snapshots: [snapshot])
        #expect(lineage.loss(of: run, disks)?.contains("a merge of nightly was begun") == true)
        #expect(try await commit(world).snapshots == ["nightly"])
        #expect(try await world.journal.entries(of: nil).first?.fate == .committed)
    }

    @Test("a delete from the middle that was killed at its very end takes the merged layer away when made again")
    func leftInTheMiddle() throws {
        let family = try Family("base b", snapshots: ["one": "a", "two": "b"])
        var lineage = family.lineage
        let run = try #require(RunID("fedcba9876543210fedcba9876543210"))
        var facts = try Sample.facts()
        facts.disks.removeLast()
        var request = CommitRun.Request(.delete)
        request.name = "one"
        lineage.snapshots[0].disks = [
            MemberReport.Disk(
                target: try Sample.target("vda"), frozenImage: "/i/base",
                chain: [ImageLayer(path: "/i/base", format: "qcow2")], overlay: "/i/a", format: "qcow2",
                virtualSizeBytes: 16 << 20)
        ]
        for (fate, removed) in [(CatalogueEntry.Fate.merging, ["/i/a"]), (.kept, [])] {
            lineage.snapshots[0].entry = CatalogueEntry(
                run: run, guest: facts.guest, name: "one", createdAt: Sample.start, consistency: .filesystem, fate: fate
            )
            let plan = try CommitPlan(request, facts, lineage, [], at: Sample.start)
            #expect(plan.removed == removed && plan.finished.map(\.name) == ["one"])
        }
        lineage.snapshots[0].entry?.fate = .merging
        lineage.strangers["/i/a"] = ["db02"]
        #expect(try CommitPlan(request, facts, lineage, [], at: Sample.start).removed.isEmpty)
    }

    @Test(
        "of a merge of neighbours that was begun, all go: what is not merged yet is, what is merged is removed; not what fell out of a chain that has no base",
        arguments: [("base a b c", 1, ["/i/b", "/i/a"]), ("base c", 0, ["/i/b", "/i/a"]), ("other c", 0, [])])
    func again(_ chain: String, _ steps: Int, _ removed: [String]) throws {
        let lineage = try Family(chain, snapshots: ["one": "a", "two": "b", "three": "c"]).lineage
        var facts = try Sample.facts()
        facts.disks.removeLast()
        var request = CommitRun.Request(.delete)
        request.groups = [.init(layers: ["/i/b", "/i/a"], base: "/i/base", isMerged: chain == "base c")]
        let plan = try CommitPlan(request, facts, lineage, [], at: Sample.start)
        #expect(plan.steps.count == steps && plan.removed == removed)
        #expect(plan.finished.map(\.name) == ["one", "two"])
    }

    @Test("what has gone into its base already is not merged again: what else lay on it is laid there, and it goes")
    func heirsAgain() throws {
        var lineage = try Family("base r", snapshots: ["one": "a", "two": "b"], left: ["base a b"]).lineage
        lineage.snapshots[0].entry?.fate = .merging
        var facts = try Sample.facts()
        facts.disks.removeLast()
        var request = CommitRun.Request(.delete)
        request.groups = [.init(layers: ["/i/a"], base: "/i/base", isMerged: true)]
        let plan = try CommitPlan(request, facts, lineage, [], at: Sample.start)
        #expect(
            plan.steps.map(\.place) == [.merged] && plan.steps.map(\.heirs) == [[.init(path: "/i/b", format: "qcow2")]])
        #expect(plan.removed == ["/i/a"])
        // Were it not merged, it would change the image under the guest.
        request.groups[0].isMerged = false
        #expect(throws: Failure.self) { try CommitPlan(request, facts, lineage, [], at: Sample.start) }
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

    @Test("a snapshot that a newer layer stands on goes from the middle, and the guest stays on the newer one")
    func middle() async throws {
        let world = change(try await world()) { disks in
            let newer = ImageLayer(path: "/srv/kvm/db01-root.newer", format: "qcow2")
            disks[0].liveChain.insert(newer, at: 0)
            disks[0].qemuChain?.insert(newer, at: 0)
            disks[0].savedImage = newer.path
        }
        let report = try await commit(world)
        #expect(report.disks.map(\.isHead) == [false, true])
        #expect(report.snapshots == ["nightly"])
    }

    @Test("without room below nothing is begun")
    func noRoom() async throws {
        let world = try await world()
        let failure = try await #require(throws: Failure.self) { try await commit(world, free: 1 << 20) }
        #expect(failure.status == .refused && failure.message.contains("too little space"))
        #expect(world.log.count(.journalOpened) == 1 && world.log.count(.merge) == 0)
    }

    @Test("prune keeps the newest and what is held, by name, and says so")
    func prune() async throws {
        let world = try await world()
        var request = CommitRun.Request(.prune)
        request.rule = .keep(1)
        #expect(try await commit(world, request).snapshots.isEmpty)
        request.rule = .keep(0)
        let run = try #require(world.journal.manifests.first.flatMap { RunID($0.run) })
        let use = SnapshotUse(.export, of: run, "nightly", world.facts.guest, since: Sample.start, way: .fuse)
        world.journal.readers.withLock { $0 = [use] }
        let kept = CommitReport.Kept(name: "nightly", reason: use.refusal(toBe: "merged").message)
        #expect(try await commit(world, request).kept == [kept])
        world.journal.readers.withLock { $0 = [] }
        request.rule = .olderThan(.seconds(3600))
        #expect(try await commit(world, request).snapshots.isEmpty)
        #expect(world.log.count(.merge) == 0)
        request.rule = .keep(0)
        #expect(try await commit(world, request).snapshots == ["nightly"])
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
