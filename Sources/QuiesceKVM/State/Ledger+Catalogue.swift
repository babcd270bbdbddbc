// SPDX-License-Identifier: Apache-2.0

import GRDB
import JSON
public import Quiesce

extension Ledger: Catalogue {
    /// The state folder's copy and the row come first: if the one beside the overlays fails, the snapshot is in the
    /// catalogue all the same.
    public func add(
        _ report: RunReport, definition: String, artifacts: [HookReply.Artifact]
    ) async throws(Failure) {
        let manifest = try Manifest(report, definition: definition, artifacts: artifacts)
        try manifest.keep(in: state)
        try await write { db in
            for member in report.members {
                guard let snapshot = member.snapshot else { continue }
                let time = report.cut?.at ?? report.startedAt
                try db.execute(
                    sql: """
                        INSERT OR REPLACE INTO snapshot
                            (run, guest, uuid, uri, name, createdAt, utcOffset, consistency, fate)
                        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                        """,
                    arguments: [
                        report.run, member.domain.name, member.domain.uuid, member.domain.uri, snapshot.name, time.utc,
                        time.offset, report.verdict.consistency.rawValue, CatalogueEntry.Fate.kept.rawValue,
                    ])
            }
        }
        try manifest.keepBesideOverlays()
    }

    /// Oldest first; of all guests for nil.
    public func entries(of guest: GuestIdentity?) async throws(Failure) -> [CatalogueEntry] {
        try await read { [uuid = guest?.uuid] db in
            let rows = try Row.fetchAll(
                db, sql: "SELECT * FROM snapshot WHERE uuid = ? OR ? IS NULL ORDER BY createdAt, rowid",
                arguments: [uuid, uuid])
            return try rows.map { row in
                CatalogueEntry(
                    run: try row.value("run", RunID.init), guest: row.identity, name: row["name"],
                    createdAt: try row.time("createdAt"),
                    consistency: try row.value("consistency", Consistency.init),
                    fate: try row.value("fate", CatalogueEntry.Fate.init))
            }
        }
    }

    /// As it was written, but with the disks where they lie now that other snapshots have been merged.
    public func manifest(of run: RunID) async throws(Failure) -> RunReport {
        var report = try Manifest.report(of: run, in: state)
        let places = try await places(of: run)
        for index in report.members.indices {
            if let disks = places[report.members[index].domain.uuid] { report.members[index].snapshot?.disks = disks }
        }
        return report
    }

    /// Takes the copy beside the overlays away when the overlays are gone; the state folder's own stays as history.
    public func mark(_ run: RunID, _ fate: CatalogueEntry.Fate) async throws(Failure) {
        try await write { db in
            try db.execute(
                sql: "UPDATE snapshot SET fate = ? WHERE run = ?", arguments: [fate.rawValue, run.description])
            if db.changesCount == 0 { throw Failure(.noSuchThing, "the catalogue has no snapshot of run \(run)") }
        }
        switch fate {
        case .committed, .undone, .removed: try Manifest.report(of: run, in: state).removeBesideOverlays()
        case .kept, .merging, .abandoned: break
        }
    }
}
