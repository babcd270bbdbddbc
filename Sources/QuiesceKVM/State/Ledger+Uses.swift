// SPDX-License-Identifier: Apache-2.0

import GRDB
import JSON
public import Quiesce

/// Who reads which snapshot. A row is written before anything is shown to anybody, and goes after all of it is gone.
extension Ledger {
    /// Oldest first; of all guests for nil.
    public func uses(of guest: GuestIdentity?) async throws(Failure) -> [SnapshotUse] {
        try await read { [uuid = guest?.uuid] db in
            let rows = try Row.fetchAll(
                db, sql: "SELECT * FROM snapshotUse WHERE uuid = ? OR ? IS NULL ORDER BY since, rowid",
                arguments: [uuid, uuid])
            return try rows.map { row in
                let process = row.process
                return SnapshotUse(
                    try row.value("kind", SnapshotUse.Kind.init), of: try row.value("run", RunID.init), row["name"],
                    row.identity, id: try row.value("id", RunID.init), label: row["label"],
                    since: try row.time("since"), until: try row.optionalTime("until"),
                    way: try row.value("way", SnapshotUse.Way.init), folder: row["folder"],
                    files: try row.value("files") { try JSONValue(parsing: $0).decode([String].self) },
                    process: process, isServed: process?.isAlive ?? false)
            }
        }
    }

    /// Writes it down, or what has changed of it.
    func keep(_ use: SnapshotUse) async throws(Failure) {
        try await write { db in
            let row: [String: (any DatabaseValueConvertible)?] = [
                "id": use.id.description, "kind": use.kind.rawValue, "run": use.run.description, "name": use.snapshot,
                "guest": use.guest.name, "uuid": use.guest.uuid, "uri": use.guest.uri, "label": use.label,
                "since": use.since.utc, "utcOffset": use.since.offset, "until": use.until?.utc,
                "way": use.way.rawValue, "folder": use.folder, "files": try JSONValue(encoding: use.files).text(),
                "pid": use.process?.pid, "boot": use.process?.boot, "start": use.process?.start,
            ]
            let names = row.keys.sorted()
            try db.execute(
                sql: """
                    INSERT OR REPLACE INTO snapshotUse (\(names.joined(separator: ", ")))
                    VALUES (\(names.map { ":\($0)" }.joined(separator: ", ")))
                    """,
                arguments: StatementArguments(row))
        }
    }

    func forget(_ use: SnapshotUse) async throws(Failure) {
        try await write { db in
            try db.execute(sql: "DELETE FROM snapshotUse WHERE id = ?", arguments: [use.id.description])
        }
    }
}

extension Row {
    fileprivate var process: ProcessMark? {
        guard let pid = self["pid"] as Int32?, let boot = self["boot"] as String?, let start = self["start"] as String?
        else { return nil }
        return ProcessMark(pid: pid, boot: boot, start: start)
    }
}
