// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import Quiesce

@Suite("Who reads a snapshot")
struct SnapshotUseTests {
    private static let noon = Timestamp(milliseconds: 1_795_383_067_500)

    private func use(
        _ kind: SnapshotUse.Kind, of run: String = "0123456789abcdef0123456789abcdef", label: String? = nil,
        until: Timestamp? = nil, isServed: Bool = true
    ) throws -> SnapshotUse {
        SnapshotUse(
            kind, of: try #require(RunID(run)), "nightly", try Sample.facts().guest, label: label, since: Self.noon,
            until: until, way: .fuse, folder: "/mnt/db01", process: ProcessMark(pid: 4711, boot: "b", start: "1"),
            isServed: isServed)
    }

    @Test(
        "an export is over with its process, a begun one only when it is ended, a run leaves its snapshot to be ended")
    func inTheWay() throws {
        #expect(try use(.export).isInTheWay)
        #expect(try !use(.export, isServed: false).isInTheWay)
        #expect(
            try use(.copy).isInTheWay && use(.copy).words.hasPrefix("being copied to /mnt/db01 by process 4711 since "))
        #expect(try !use(.copy, isServed: false).isInTheWay && use(.copy).remedy == nil)
        #expect(try !use(.copy, isServed: false).isOverdue(at: Self.noon))
        #expect(try use(.begin, isServed: false).isInTheWay)
        #expect(try use(.run).isInTheWay)
        #expect(try !use(.run, isServed: false).isInTheWay)
        #expect(try use(.run, isServed: false).isOverdue(at: Self.noon))
        #expect(try !use(.run).isOverdue(at: Self.noon))
        #expect(try !use(.export, isServed: false).isOverdue(at: Self.noon))
    }

    @Test("a begun one is overdue from the moment its time is over")
    func overdue() throws {
        let begun = try use(.begin, until: Self.noon)
        #expect(!begun.isOverdue(at: Self.noon.adding(milliseconds: -1)))
        #expect(begun.isOverdue(at: Self.noon))
        #expect(try !use(.begin).isOverdue(at: Self.noon))
    }

    @Test("the words name the holder, and the remedy is a line to paste")
    func words() throws {
        let export = try use(.export)
        #expect(export.words.hasPrefix("exported to /mnt/db01 by process 4711 since 2026-11-22 "))
        #expect(export.remedy == "stillpoint export --stop db01 nightly")
        let begun = try use(.begin, label: "backup-7", until: Self.noon)
        #expect(begun.words.contains(" as backup-7, ends by itself 2026-11-22 "))
        #expect(begun.remedy == "stillpoint end db01 0123456789abcdef0123456789abcdef")
        #expect(try use(.run, isServed: false).words.contains("by a process that is gone"))
        #expect(try use(.run).remedy == nil)
        let refusal = begun.refusal(toBe: "deleted")
        #expect(
            refusal.status == .refused
                && refusal.message.hasPrefix("nightly of db01 cannot be deleted now: it is begun "))
    }

    /// A guest with one good snapshot, and somebody who reads it.
    private func commit(_ use: SnapshotUse, ending: RunID? = nil) async throws -> CommitReport {
        let world = try World()
        #expect(try await world.run().exit == 0)
        world.journal.readers.withLock { $0 = [use] }
        let life = ScriptedLife(world.facts, log: world.log, host: world.host)
        let run = CommitRun(world.facts.guest, through: world.life(life)) { _ in }
        var request = CommitRun.Request()
        request.ending = ending
        let before = world.log.heard.count
        do {
            return try await run.execute(try await run.plan(request), request)
        } catch {
            #expect(Array(world.log.heard.dropFirst(before)) == [.observe], "nothing is touched")
            throw error
        }
    }

    @Test("a snapshot that is read is not merged, and the refusal names the holder")
    func refused() async throws {
        for use in [try use(.export), try use(.begin, isServed: false), try use(.run)] {
            await #expect(throws: use.refusal(toBe: "merged")) { try await commit(use) }
        }
    }

    @Test("it is merged by the end of that very use, and when the reader is gone or reads another snapshot")
    func merged() async throws {
        let begun = try use(.begin)
        #expect(try await commit(begun, ending: begun.id).snapshots == ["nightly"])
        #expect(try await commit(use(.export, isServed: false)).snapshots == ["nightly"])
        #expect(try await commit(use(.run, isServed: false)).snapshots == ["nightly"])
        #expect(try await commit(use(.begin, of: "ffffffffffffffffffffffffffffffff")).snapshots == ["nightly"])
    }

    @Test("doctor and plan tell what is open, how to end it, and what a killed run has left")
    func findings() throws {
        let plan = MemberPlan(of: try Sample.facts(), for: try Sample.request())
        let told = plan.knowing(
            [try use(.begin, until: Self.noon), try use(.run, isServed: false)], at: Self.noon
        ).findings.suffix(2)
        #expect(told.map(\.code) == ["snapshot.begin", "run.left"])
        #expect(
            told.allSatisfy { $0.weight == .note && $0.fix == ["stillpoint end db01 0123456789abcdef0123456789abcdef"] }
        )
        #expect(told.first?.text.hasSuffix(", which is over") == true)
        #expect(told.last?.text.hasSuffix("it is still to be committed") == true)
    }
}
