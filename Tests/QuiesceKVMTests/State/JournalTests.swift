// SPDX-License-Identifier: Apache-2.0

import GRDB
import Glibc
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("the journal knows what a dead run was about to do")
struct JournalTests {
    let scratch: ScratchFolder
    let run = RunID.random()

    init() throws { scratch = try ScratchFolder() }

    private func ledger() throws -> Ledger { Ledger(in: try StateFolder(scratch("state"))) }

    @Test("a run that was opened and not closed is unfinished, with its steps")
    func unfinished() async throws {
        let ledger = try ledger()
        let window = JournalStep.window(mountpoints: ["/", "/var/lib/mysql"], overlays: ["/srv/a.s1"])
        try await ledger.open(run, for: .db01, named: "nightly", at: .cut)
        try await ledger.record(.staging(overlays: ["/srv/a.s1"]), of: run, at: .cut)
        try await ledger.record(window, of: run, at: .cut)
        let found = try await ledger.unfinished()
        #expect(
            found == [
                UnfinishedRun(
                    run: run, guest: .db01, name: "nightly", startedAt: .cut,
                    steps: [.staging(overlays: ["/srv/a.s1"]), window])
            ])
        try await ledger.close(run, .done, at: .cut)
        #expect(try await ledger.unfinished() == [])
    }

    @Test("a run without a step is unfinished too")
    func noStep() async throws {
        let ledger = try ledger()
        try await ledger.open(run, for: .web, named: "freeze", at: .cut)
        #expect(try await ledger.unfinished().map(\.lastStep) == [nil])
    }

    @Test("every step is read back as it was written")
    func steps() async throws {
        let ledger = try ledger()
        let steps: [JournalStep] = [
            .staging(overlays: ["/a 'b\"\n"]), .window(mountpoints: [], overlays: []),
            .windowClosed(cut: true, thawed: false), .registering(name: "n"),
            .merging([Merge(target: try #require(DiskTarget("vda")), top: "/a.s1", base: "/a")]),
            .removing(files: ["/x"]), .freezingByHand(mountpoints: ["/"], until: Timestamp(milliseconds: 1000)),
            .thawed,
        ]
        try await ledger.open(run, for: .db01, named: "n", at: .cut)
        for step in steps {
            try await ledger.record(step, of: run, at: .cut)
            #expect(try await ledger.unfinished().first?.lastStep == step)
        }
    }

    @Test("what was recorded is there after SIGKILL")
    func killed() async throws {
        let place = scratch("state")
        await #expect(processExitsWith: .signal(SIGKILL)) { [place = place as String] in
            let ledger = Ledger(in: try StateFolder(place))
            let run = try #require(RunID("0123456789abcdef0123456789abcdef"))
            try await ledger.open(run, for: .db01, named: "nightly", at: .cut)
            try await ledger.record(.windowClosed(cut: true, thawed: true), of: run, at: .cut)
            kill(getpid(), SIGKILL)
        }
        let found = try await ledger().unfinished()
        #expect(found.map(\.run.description) == ["0123456789abcdef0123456789abcdef"])
        #expect(found.map(\.lastStep) == [.windowClosed(cut: true, thawed: true)])
    }

    @Test("another process sees a record as soon as the call has returned")
    func otherConnection() async throws {
        let (one, other) = (try ledger(), try ledger())
        try await one.open(run, for: .db01, named: "nightly", at: .cut)
        try await one.record(.registering(name: "nightly"), of: run, at: .cut)
        #expect(try await other.unfinished().first?.lastStep == .registering(name: "nightly"))
    }

    @Test("each commit is synced to the disk, in a file that is the user's alone")
    func durability() async throws {
        let ledger = try ledger()
        try await ledger.open(run, for: .db01, named: "nightly", at: .cut)
        let settings = try await ledger.read { db in
            [
                try Int.fetchOne(db, sql: "PRAGMA synchronous"), try Int.fetchOne(db, sql: "PRAGMA foreign_keys"),
            ]
        }
        #expect(settings == [2, 1])
        #expect(try await ledger.read { try String.fetchOne($0, sql: "PRAGMA journal_mode") } == "wal")
        for name in ["stillpoint.db", "stillpoint.db-wal", "stillpoint.db-shm"] {
            #expect(try scratch.mode("state/\(name)") == 0o600)
        }
    }

    @Test("a run that is being cancelled still writes down what it leaves")
    func cancelled() async throws {
        let ledger = try ledger()
        let run = run
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await ledger.open(run, for: .db01, named: "nightly", at: .cut)
            try await ledger.record(.windowClosed(cut: false, thawed: true), of: run, at: .cut)
        }
        try await task.value
        #expect(try await ledger.unfinished().map(\.lastStep) == [.windowClosed(cut: false, thawed: true)])
    }

    @Test("many processes may find a new state folder at the same moment")
    func race() async throws {
        for round in 0..<8 {
            let place = scratch("state\(round)")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        let ledger = Ledger(in: try StateFolder(place))
                        try await ledger.open(.random(), for: .db01, named: "nightly", at: .cut)
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await Ledger(in: StateFolder(place)).unfinished().count == 8)
        }
    }

    @Test("a step or an end without its run is an error, and so is a run opened twice")
    func unknownRun() async throws {
        let ledger = try ledger()
        await #expect(throws: Failure.self) { try await ledger.record(.registering(name: "n"), of: run, at: .cut) }
        await #expect(throws: Failure.self) { try await ledger.close(run, .done, at: .cut) }
        try await ledger.open(run, for: .db01, named: "n", at: .cut)
        await #expect(throws: Failure.self) { try await ledger.open(run, for: .db01, named: "n", at: .cut) }
    }

    @Test("a file that is no database is named, with what to do")
    func damaged() async throws {
        let state = try StateFolder(scratch("state"))
        try scratch.write(String(repeating: "not a database ", count: 100), to: "state/stillpoint.db")
        let failure = await #expect(throws: Failure.self) { try await Ledger(in: state).unfinished() }
        #expect(failure?.status == .internalError)
        #expect(failure?.message == "\(scratch("state/stillpoint.db")): file is not a database")
        #expect(failure?.hint?.hasPrefix("mv ") == true)
    }

    @Test("a database of a newer version is not touched")
    func newer() async throws {
        let ledger = try ledger()
        try await ledger.write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('1000')") }
        let failure = await #expect(throws: Failure.self) { try await self.ledger().unfinished() }
        #expect(failure?.status == .configuration)
    }

    @Test("a database that cannot be written is refused, with where to look", .enabled(if: canMount))
    func unwritable() async throws {
        let state = try StateFolder(scratch("state"))
        try scratch.write("", to: "state/stillpoint.db")
        let path = scratch("state/stillpoint.db")
        try #require(mount(path, path, nil, UInt(MS_BIND), nil) == 0)
        defer { umount2(path, CInt(MNT_DETACH)) }
        try #require(mount(path, path, nil, UInt(MS_BIND | MS_REMOUNT | MS_RDONLY), nil) == 0)
        let failure = await #expect(throws: Failure.self) { try await Ledger(in: state).unfinished() }
        #expect(failure?.status == .notPermitted)
        #expect(failure?.message == "\(path): attempt to write a readonly database")
        #expect(failure?.hint == "make it writable: ls -l \(path); findmnt -T \(path)")
    }

    @Test("a full disk is an error that says so", .enabled(if: canMount))
    func full() async throws {
        try await onTinyFilesystem { place in
            let failure = await #expect(throws: Failure.self) {
                try await Ledger(in: StateFolder(place)).unfinished()
            }
            #expect(failure?.status == .internalError)
            #expect(failure?.hint == "make room there and try again")
        }
    }
}
