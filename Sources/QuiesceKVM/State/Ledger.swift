// SPDX-License-Identifier: Apache-2.0

import GRDB
import Glibc
public import Quiesce
import SystemPackage

/// The journal of runs and the catalogue of snapshots: `stillpoint.db` in the state folder, one SQLite database that
/// the `sqlite3` shell reads. What was written is on the disk when the call returns (WAL, `synchronous = FULL`).
public struct Ledger: Sendable {
    let state: StateFolder
    private let database: DatabaseQueue
    private let path: String

    /// Opens the database, and makes it on first use. Waits up to 5 s for another process that writes to it.
    public init(in state: StateFolder) throws(Failure) {
        self.state = state
        let path = state.folder.path(of: Self.file)
        self.path = path
        try explaining("cannot make \(path)", else: .internalError) { () throws(Errno) in
            // SQLite would make it readable for all; its -wal and -shm take the mode over.
            _ = try state.folder.open(Self.file, O_RDWR | O_CREAT, mode: 0o600)
            try state.folder.sync()
        }
        var settings = GRDB.Configuration()
        settings.busyMode = .timeout(5)
        settings.journalMode = .wal
        settings.foreignKeysEnabled = true
        settings.label = "stillpoint"
        do {
            database = try state.folder.whileLocked {
                let queue = try DatabaseQueue(path: path, configuration: settings)
                // GRDB sets NORMAL with the WAL, which may lose the last commits in a power cut.
                try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA synchronous = FULL") }
                guard try !queue.read(Schema.migrator.hasBeenSuperseded) else {
                    throw Failure(.configuration, "\(path) was written by a newer stillpoint", hint: "use that one")
                }
                try Schema.migrator.migrate(queue)
                return queue
            }
        } catch let error as Failure {
            throw error
        } catch {
            throw Failure(database: error, path)
        }
    }

    /// Cannot be cancelled: a run that is being cancelled still writes down what it leaves.
    func write<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(Failure) -> Value {
        try await uncancelled { [database] in try await database.write(body) }
    }

    func read<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(Failure) -> Value {
        try await uncancelled { [database] in try await database.read(body) }
    }

    private func uncancelled<Value: Sendable>(
        _ access: @escaping @Sendable () async throws -> Value
    ) async throws(Failure) -> Value {
        switch await Task(operation: access).result {
        case .success(let value): return value
        case .failure(let error as Failure): throw error
        case .failure(let error): throw Failure(database: error, path)
        }
    }

    private static let file = "stillpoint.db"
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
        case .SQLITE_PERM, .SQLITE_READONLY, .SQLITE_AUTH, .SQLITE_CANTOPEN: self.init(.notPermitted, what)
        case .SQLITE_CORRUPT, .SQLITE_NOTADB:
            self.init(.internalError, what, hint: "mv \(path) \(path).damaged; the manifests beside it stay readable")
        default: self.init(.internalError, what)
        }
    }
}

extension Folder {
    /// Two processes that both find a new database would otherwise both build it.
    fileprivate func whileLocked<Value>(_ body: () throws -> Value) throws -> Value {
        let key = try open(".", O_RDONLY | O_DIRECTORY)
        try posix { flock(key.descriptor, LOCK_EX) }
        return try body()
    }
}
