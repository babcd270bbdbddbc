// SPDX-License-Identifier: Apache-2.0

import GRDB
import JSON
public import Quiesce

extension Ledger: Journal {
    public func open(
        _ run: RunID, for guest: GuestIdentity, named name: String, at time: Timestamp
    ) async throws(Failure) {
        try await write { db in
            try db.execute(
                sql: """
                    INSERT INTO run (id, guest, uuid, uri, name, startedAt, utcOffset) VALUES (?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [run.description, guest.name, guest.uuid, guest.uri, name, time.utc, time.offset])
        }
    }

    public func record(_ step: JournalStep, of run: RunID, at time: Timestamp) async throws(Failure) {
        try await write { db in
            try db.execute(
                sql: "INSERT INTO step (run, at, step) VALUES (?, ?, ?)",
                arguments: [run.description, time.utc, JSONValue(encoding: step).text()])
        }
    }

    public func close(_ run: RunID, _ ending: JournalEnding, at time: Timestamp) async throws(Failure) {
        try await write { db in
            try db.execute(
                sql: "UPDATE run SET ending = ?, endedAt = ? WHERE id = ?",
                arguments: [ending.rawValue, time.utc, run.description])
            if db.changesCount == 0 { throw Failure(.noSuchThing, "the journal has no run \(run)") }
        }
    }

    public func unfinished() async throws(Failure) -> [UnfinishedRun] {
        try await read { db in
            let rows = try Row.fetchAll(db, sql: "SELECT * FROM run WHERE ending IS NULL ORDER BY startedAt, rowid")
            return try rows.map { row in
                let run = try row.value("id", RunID.init)
                let steps = try String.fetchAll(
                    db, sql: "SELECT step FROM step WHERE run = ? ORDER BY id", arguments: [run.description])
                return UnfinishedRun(
                    run: run, guest: row.identity, name: row["name"], startedAt: try row.time("startedAt"),
                    steps: try steps.map { step in
                        try JSONValue(parsing: step, limits: .ofOurOwn).decode(JournalStep.self)
                    })
            }
        }
    }
}

extension JSONLimits {
    /// For what we wrote ourselves: a manifest of many guests is larger than any guest's answer.
    static let ofOurOwn = JSONLimits(bytes: 64 << 20, depth: 32)
}
