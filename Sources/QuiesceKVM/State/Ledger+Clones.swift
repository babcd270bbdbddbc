// SPDX-License-Identifier: Apache-2.0

import GRDB
import Quiesce

/// The clones that were begun and are not gone yet.
extension Ledger {
    struct CloneRecord: Sendable {
        var id: RunID
        var guest: GuestIdentity
        var name: String
        var uuid: String
        var folder: String
        /// Meant to outlive the process that started it.
        var isKept: Bool
    }

    func begin(_ plan: ClonePlan) async throws(Failure) {
        try await write { db in
            try db.execute(
                sql: """
                    INSERT INTO clone (id, guest, uuid, uri, cloneName, cloneUUID, folder) VALUES (?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    plan.id.description, plan.guest.name, plan.guest.uuid, plan.guest.uri, plan.name, plan.uuid,
                    plan.folder,
                ])
        }
    }

    func keep(clone id: RunID) async throws(Failure) {
        try await write { db in
            try db.execute(sql: "UPDATE clone SET isKept = 1 WHERE id = ?", arguments: [id.description])
        }
    }

    func end(clone id: RunID) async throws(Failure) {
        try await write { db in
            try db.execute(sql: "DELETE FROM clone WHERE id = ?", arguments: [id.description])
        }
    }

    /// On one hypervisor.
    func clones(on uri: String) async throws(Failure) -> [CloneRecord] {
        try await read { db in
            try Row.fetchAll(db, sql: "SELECT * FROM clone WHERE uri = ? ORDER BY rowid", arguments: [uri]).map { row in
                CloneRecord(
                    id: try row.value("id", RunID.init), guest: row.identity, name: row["cloneName"],
                    uuid: row["cloneUUID"], folder: row["folder"], isKept: row["isKept"])
            }
        }
    }
}
