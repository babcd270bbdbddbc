// SPDX-License-Identifier: Apache-2.0

import GRDB
import Glibc
import Quiesce
import Synchronization
import SystemPackage

/// The journal of runs and the catalogue of snapshots: `stillpoint.db` in the state folder, one SQLite database that
/// the `sqlite3` shell reads. What was written is on the disk when the call returns (WAL, `synchronous = FULL`).
public struct Ledger: Sendable {
    let state: StateFolder
    private let database: Opening

    /// Nothing is opened yet: a command that only looks at a guest needs no database, and one that does reaches libvirt
    /// sooner.
    public init(in state: StateFolder) {
        self.state = state
        database = Opening(state.folder)
    }

    /// Cannot be cancelled: a run that is being cancelled still writes down what it leaves.
    func write<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(Failure) -> Value {
        try await uncancelled { [database] in try await database.queue().write(body) }
    }

    func read<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(Failure) -> Value {
        try await uncancelled { [database] in try await database.queue().read(body) }
    }

    private func uncancelled<Value: Sendable>(
        _ access: @escaping @Sendable () async throws -> Value
    ) async throws(Failure) -> Value {
        switch await Task(operation: access).result {
        case .success(let value): return value
        case .failure(let error as Failure): throw error
        case .failure(let error): throw Failure(database: error, database.path)
        }
    }
}

/// The database, opened at its first use and made if it is not there.
private final class Opening: Sendable {
    private static let file = "stillpoint.db"

    let path: String
    private let folder: Folder
    private let opened = Mutex<DatabaseQueue?>(nil)

    init(_ folder: Folder) {
        self.folder = folder
        path = folder.path(of: Self.file)
    }

    /// Waits up to 5 s for another process that opens it or writes to it.
    func queue() throws(Failure) -> DatabaseQueue {
        try opened.withLock { (opened) throws(Failure) in
            if let queue = opened { return queue }
            let queue = try open()
            opened = queue
            return queue
        }
    }

    private func open() throws(Failure) -> DatabaseQueue {
        var settings = GRDB.Configuration()
        settings.busyMode = .timeout(5)
        settings.foreignKeysEnabled = true
        settings.label = "stillpoint"
        do {
            return try folder.whileLocked {
                try folder.makeFile(Self.file)
                let queue = try DatabaseQueue(path: path, configuration: settings)
                // Not by GRDB's journalMode: that writes and syncs a table of its own at each opening, and sets NORMAL,
                // which may lose the last commits in a power cut.
                try queue.writeWithoutTransaction {
                    try $0.execute(sql: "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
                }
                guard try !queue.read(Schema.migrator.hasBeenSuperseded) else {
                    throw Failure(.configuration, "\(path) was written by a newer stillpoint", hint: "use that one")
                }
                try Schema.migrator.migrate(queue)
                return queue
            }
        } catch let error as Failure {
            throw error
        } catch let error as Errno {
            throw Failure(error, "cannot make \(path)", else: .internalError)
        } catch {
            throw Failure(database: error, path)
        }
    }
}

extension Failure {
    fileprivate init(database error: any Error, _ path: String) {
        guard let error = error as? DatabaseError else {
            self.init(.internalError, "\(path): \(error)")
            return
        }
        let what = "\(path): \(error.message ?? "\(error.resultCode)")"
        switch error.resultCode {
        case .SQLITE_FULL: self.init(.internalError, what, hint: "make room there and try again")
        case .SQLITE_BUSY, .SQLITE_LOCKED: self.init(.busy, what, hint: "fuser -v \(path)")
        case .SQLITE_PERM, .SQLITE_READONLY, .SQLITE_AUTH, .SQLITE_CANTOPEN:
            self.init(.notPermitted, what, hint: "make it writable: ls -l \(path); findmnt -T \(path)")
        case .SQLITE_CORRUPT, .SQLITE_NOTADB:
            self.init(.internalError, what, hint: "mv \(path) \(path).damaged; the manifests beside it stay readable")
        default: self.init(.internalError, what)
        }
    }
}

extension Folder {
    /// SQLite would make it readable for all; its -wal and -shm take the mode over. One that is there is not opened:
    /// closing it would drop the locks that SQLite holds on it in this process.
    fileprivate func makeFile(_ name: String) throws(Errno) {
        guard try status(of: name) == nil else { return }
        _ = try open(name, O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
        try sync()
    }

    /// Two processes that both find a new database would otherwise both build it. Waits up to 5 s.
    fileprivate func whileLocked<Value>(_ body: () throws -> Value) throws -> Value {
        let key = try open(".", O_RDONLY | O_DIRECTORY)
        for _ in 0..<250 {
            if try key.lock(LOCK_EX) { return try body() }
            usleep(20_000)
        }
        throw Failure(.busy, "\(path): another stillpoint is opening it and does not finish", hint: "fuser -v \(path)")
    }
}
