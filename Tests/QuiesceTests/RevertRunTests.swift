// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import Quiesce

@Suite("Revert", .timeLimit(.minutes(1)))
struct RevertRunTests {
    /// A guest with one good snapshot of both disks, and its life.
    private struct Scene {
        let world: World
        let life: ScriptedLife
        let run: RunID

        init(_ change: (inout GuestFacts) -> Void = { _ in }) async throws {
            var facts = try Sample.facts()
            change(&facts)
            world = try World(facts)
            #expect(try await world.run().exit == 0)
            life = ScriptedLife(world.facts, log: world.log, host: world.host)
            run = try #require(RunID("fedcba9876543210fedcba9876543210"))
            let taken = try #require(world.journal.manifests.first)
            life.know([
                RegisteredSnapshot(name: "nightly", isCurrent: true, createdAt: taken.cut?.at.seconds ?? 0)
            ])
        }

        func revert(_ request: RevertRequest) async throws -> RevertReport {
            let revert = RevertRun(
                world.facts.guest, through: world.life(life), interruption: world.interruption
            ) { _ in }
            return try await revert.execute(try await revert.plan(request, as: run), as: run)
        }

        /// What was heard since the snapshot was taken.
        func heard(since count: Int) -> [Heard] { Array(world.log.heard.dropFirst(count)) }
    }

    private func request(_ stop: RevertRequest.Stop = .powerOff) -> RevertRequest {
        var request = RevertRequest(.snapshot("nightly"))
        request.stop = stop
        return request
    }

    @Test("overlays first, then the power, then what is left is kept, and only then the definition")
    func order() async throws {
        let scene = try await Scene()
        let before = scene.world.log.heard.count
        let report = try await scene.revert(request())
        #expect(
            scene.heard(since: before) == [
                .observe, .journalOpened, .staging, .stage, .reverting, .poweredOff, .disks, .definition, .branchKept,
                .defined, .disks, .started, .disks, .restored, .journalClosed,
            ])
        #expect(report.state == .running && report.disks.map(\.left) == [Sample.rootOverlay, Sample.dataOverlay])
        #expect(report.notes.isEmpty && scene.world.host.harm.isEmpty)
    }

    @Test("what somebody lays on its disks meanwhile is not left behind unseen: refused, and as before")
    func changedMeanwhile() async throws {
        let scene = try await Scene()
        var disks = scene.world.plan.disks
        disks[0].overlay = "/srv/kvm/theirs"
        scene.world.log.cue(.poweredOff) { [host = scene.world.host, disks] in host.move([disks[0]]) }
        let failure = await #expect(throws: Failure.self) { try await scene.revert(request()) }
        #expect(failure?.status == .refused && failure?.message.contains("/srv/kvm/theirs") == true)
        #expect(scene.world.log.count(.branchKept) == 0 && scene.world.log.count(.started) == 1)
    }

    @Test("a running guest is refused without leave, and nothing is made")
    func unasked() async throws {
        let scene = try await Scene()
        let failure = try await #require(throws: Failure.self) { try await scene.revert(request(.refuse)) }
        #expect(failure.status == .refused)
        #expect(!scene.world.log.heard.contains(.staging) || scene.world.host.overlays.count == 2)
    }

    @Test("one that does not shut down in time keeps its disks and runs on")
    func deaf() async throws {
        let scene = try await Scene()
        scene.life.neverShutDown()
        let disks = scene.world.host.disks
        let failure = try await #require(throws: Failure.self) {
            try await scene.revert(request(.shutDown(within: .seconds(1))))
        }
        #expect(failure.status == .refused && failure.message.contains("did not shut down"))
        #expect(scene.world.host.disks == disks && scene.world.host.overlays.count == 2)
        #expect(!scene.world.log.heard.contains(.defined) && !scene.world.log.heard.contains(.poweredOff))
    }

    @Test(
        "whatever fails after the power is gone, it stands on its old disks again and runs",
        arguments: [Heard.definition, .branchKept, .defined, .started])
    func failure(_ what: Heard) async throws {
        let scene = try await Scene()
        let disks = scene.world.host.disks
        scene.world.log.refuse(what, Failure(.internalError, "no"), times: 1)
        await #expect(throws: Failure.self) { try await scene.revert(request()) }
        if what == .started {
            #expect(scene.world.log.details(of: .defined).last == "as before")
        } else {
            #expect(scene.world.host.disks == disks && scene.world.host.overlays.count == 2)
        }
        #expect(scene.world.log.heard.contains(.discard))
        #expect(try await scene.life.power() == .running)
        #expect(try await scene.world.branches.branches(of: scene.world.facts.guest).isEmpty)
        #expect(scene.world.log.details(of: .journalClosed).last == "failed")
    }

    @Test("where it can neither go on nor back it stays open, for recovery to see where the guest is")
    func between() async throws {
        let scene = try await Scene()
        scene.world.log.refuse(.started, Failure(.unreachable, "the daemon is gone"))
        scene.world.log.cue(.started) { [log = scene.world.log] in
            log.refuse(.poweredOff, Failure(.unreachable, "the daemon is gone"))
        }
        let closed = scene.world.log.count(.journalClosed)
        let failure = try await #require(throws: Failure.self) { try await scene.revert(request()) }
        #expect(failure.message.contains("could not be put back"))
        #expect(scene.world.log.count(.journalClosed) == closed)
        #expect(try await scene.world.journal.unfinished().count == 1)
    }

    @Test("interrupted before its power is taken, it is left running; after that it goes on to its end")
    func interrupted() async throws {
        let early = try await Scene()
        early.world.interrupt(at: .stage)
        let failure = try await #require(throws: Failure.self) { try await early.revert(request()) }
        #expect(failure.status == .interrupted && early.world.host.overlays.count == 2)
        #expect(!early.world.log.heard.contains(.poweredOff))

        let late = try await Scene()
        late.world.interrupt(at: .branchKept)
        #expect(try await late.revert(request()).state == .running)
    }

    @Test("the snapshot's UEFI variables go in once the definition is new, and undo brings those from before back")
    func variables() async throws {
        let scene = try await Scene { $0.nvram = "/nvram/db01.fd" }
        let run = try #require(scene.world.journal.manifests.first.flatMap { RunID($0.run) })
        scene.world.branches.variables.withLock { $0[run] = Array("old".utf8) }
        #expect(try await scene.revert(request()).nvram == "/nvram/db01.fd")
        #expect(scene.world.log.details(of: .overwritten) == ["/nvram/db01.fd old"])
        let heard = scene.world.log.heard
        #expect(try #require(heard.lastIndex(of: .defined)) < #require(heard.lastIndex(of: .overwritten)))
        #expect(scene.world.branches.variables.withLock { $0[scene.run] } == Array("variables".utf8))

        scene.world.log.refuse(.started, Failure(.internalError, "no"), times: 1)
        var again = RevertRequest(.undo(nil))
        again.stop = .powerOff
        let other = try #require(RunID("00112233445566778899aabbccddeeff"))
        let undo = RevertRun(
            scene.world.facts.guest, through: scene.world.life(scene.life), interruption: scene.world.interruption
        ) { _ in }
        let plan = try await undo.plan(again, as: other)
        await #expect(throws: Failure.self) { try await undo.execute(plan, as: other) }
        // Those of before the undo stand again, since it could not be started.
        #expect(
            scene.world.log.details(of: .overwritten) == [
                "/nvram/db01.fd old", "/nvram/db01.fd variables", "/nvram/db01.fd variables",
            ])
    }

    @Test("a snapshot without variables leaves a UEFI guest's as they are, and says so")
    func noVariables() async throws {
        let scene = try await Scene { $0.nvram = "/nvram/db01.fd" }
        let report = try await scene.revert(request())
        #expect(report.notes.contains { $0.contains("UEFI") } && !scene.world.log.heard.contains(.overwritten))
    }

    @Test("an image on which another's lies is not gone back to, for the guest would write to it")
    func undoUnderOthers() throws {
        let family = try Family("base r", snapshots: ["one": "a"], left: ["base a"])
        var facts = try Sample.facts()
        facts.disks.removeLast()
        let run = try #require(RunID("fedcba9876543210fedcba9876543210"))
        var request = RevertRequest(.undo(nil))
        request.stop = .powerOff
        _ = try RevertPlan(request, facts, family.lineage, as: run, at: Sample.start)
        var lineage = family.lineage
        let leaf = try #require(lineage.abandoned.first?.chains.values.first?.first)
        lineage.strangers[leaf.path] = ["db02"]
        let failure = #expect(throws: Failure.self) {
            try RevertPlan(request, facts, lineage, as: run, at: Sample.start)
        }
        #expect(failure?.status == .refused && failure?.message.contains("db02") == true)
    }

    @Test("one whose parent is gone is listed again under the nearest that is left")
    func lostParent() throws {
        let family = try Family("base r", snapshots: ["one": "a", "two": "b", "three": "c"], left: ["base a b c"])
        var lineage = family.lineage
        lineage.snapshots[0].registered = RegisteredSnapshot(name: "one")
        lineage.snapshots[2].memory = RegisteredSnapshot(name: "three", parent: "gone")
        var facts = try Sample.facts()
        facts.disks.removeLast()
        let run = try #require(RunID("fedcba9876543210fedcba9876543210"))
        var request = RevertRequest(.snapshot("three"))
        request.stop = .powerOff
        let plan = try RevertPlan(request, facts, lineage, as: run, at: Sample.start)
        #expect(plan.restored.map(\.name) == ["three"] && plan.restored.map(\.parent) == ["one"])
    }
}

@Suite("Revert to a snapshot with its memory")
struct MemoryRevertTests {
    private func plan(
        _ change: (inout RevertRequest, inout GuestFacts, inout Lineage) throws -> Void = { _, _, _ in }
    ) throws -> RevertPlan {
        var lineage = try Family("base a", snapshots: ["one": "a"]).lineage
        lineage.snapshots[0].memoryFile = "/i/one.memory"
        var facts = try Sample.facts()
        facts.disks.removeLast()
        facts.power = .shutOff
        var request = RevertRequest(.snapshot("one"))
        try change(&request, &facts, &lineage)
        let run = try #require(RunID("fedcba9876543210fedcba9876543210"))
        return try RevertPlan(request, facts, lineage, as: run, at: Sample.start)
    }

    @Test("goes on in it, running or paused, even where the guest is off now")
    func goesOn() throws {
        #expect(try plan().memory == "/i/one.memory" && plan().ending == .running)
        #expect(try plan { request, _, _ in request.ending = .paused }.ending == .paused)
    }

    @Test("starts anew or stays off where that is asked for")
    func anew() throws {
        let plan = try plan { request, _, _ in request.usesMemory = false }
        #expect(plan.memory == nil && plan.ending == .shutOff)
    }

    @Test("is refused where a disk has gone on that the memory knows, unless that one is only read")
    func leftOut() throws {
        let other = ImageLayer(path: "/i/other", format: "qcow2")
        let failure = try #require(throws: Failure.self) {
            try plan { _, facts, lineage in
                let disk = try Sample.disk("vdb", "/i/other")
                facts.disks.append(disk)
                lineage.active[disk.target] = [other]
            }
        }
        #expect(failure.status == .refused && failure.hint?.contains("--no-memory") == true)
        #expect(
            try plan { _, facts, lineage in
                var disk = try Sample.disk("vdb", "/i/other")
                disk.isReadOnly = true
                facts.disks.append(disk)
                lineage.active[disk.target] = [other]
            }.memory != nil)
    }

    @Test("has no start for new UEFI variables")
    func newVariables() throws {
        let failure = try #require(throws: Failure.self) {
            try plan { request, _, _ in request.resetsNVRAM = true }
        }
        #expect(failure.status == .usage)
    }
}
