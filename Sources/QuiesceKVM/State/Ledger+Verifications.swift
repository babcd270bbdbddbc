// SPDX-License-Identifier: Apache-2.0

import GRDB
import Quiesce

/// What became of each verification.
extension Ledger {
    func add(_ record: VerificationRecord, of run: RunID, _ guest: GuestIdentity) async throws(Failure) {
        try await write { db in
            try db.execute(
                sql: """
                    INSERT INTO verification (run, uuid, at, utcOffset, level, result, detail, bootMs, recoveryMs)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    run.description, guest.uuid, record.at.utc, record.at.offset, record.level.rawValue,
                    record.result.rawValue, record.detail, record.bootMs, record.recoveryMs,
                ])
        }
    }

    /// Oldest first.
    func verifications(of run: RunID, _ guest: GuestIdentity) async throws(Failure) -> [VerificationRecord] {
        try await read { [uuid = guest.uuid] db in
            try Row.fetchAll(
                db, sql: "SELECT * FROM verification WHERE run = ? AND uuid = ? ORDER BY id",
                arguments: [run.description, uuid]
            ).map { row in
                VerificationRecord(
                    at: try row.time("at"), level: try row.value("level", VerificationLevel.init),
                    result: try row.value("result", Check.Result.init), detail: row["detail"], bootMs: row["bootMs"],
                    recoveryMs: row["recoveryMs"])
            }
        }
    }
}
