// SPDX-License-Identifier: Apache-2.0

import GRDB
import JSON
public import Quiesce

extension Ledger: BranchCatalogue {
    public func keep(_ branch: Branch, definition: String, variables: [UInt8]?) async throws(Failure) {
        try Manifest.keep(branch, definition: definition, variables: variables, in: state)
        try await write { db in
            try db.execute(
                sql: "INSERT OR REPLACE INTO branch (run, uuid, leftAt) VALUES (?, ?, ?)",
                arguments: [branch.run.description, branch.guest.uuid, branch.leftAt.utc])
        }
    }

    public func variables(of run: RunID) async throws(Failure) -> [UInt8]? {
        try Manifest.variables(of: run, in: state)
    }

    public func branches(of guest: GuestIdentity) async throws(Failure) -> [Branch] {
        let runs = try await read { [uuid = guest.uuid] db in
            try Row.fetchAll(db, sql: "SELECT run FROM branch WHERE uuid = ? ORDER BY leftAt, rowid", arguments: [uuid])
                .map { try $0.value("run", RunID.init) }
        }
        return try runs.map { run throws(Failure) in try Manifest.branch(of: run, in: state) }
    }

    public func change(_ branch: Branch) async throws(Failure) {
        try Manifest.keep(branch, definition: nil, variables: nil, in: state)
    }

    /// What it was stays in the run's folder as history.
    public func drop(_ branch: RunID) async throws(Failure) {
        try await write { db in
            try db.execute(sql: "DELETE FROM branch WHERE run = ?", arguments: [branch.description])
        }
    }

    public func move(
        _ disks: [MemberReport.Disk], of run: RunID, _ guest: GuestIdentity
    ) async throws(Failure) {
        try await write { db in
            try db.execute(
                sql: "INSERT OR REPLACE INTO place (run, uuid, disks) VALUES (?, ?, ?)",
                arguments: [run.description, guest.uuid, JSONValue(encoding: disks).text()])
        }
    }

    /// Where a run's disks lie now, by the guest's UUID; empty while they lie where its manifest says.
    func places(of run: RunID) async throws(Failure) -> [String: [MemberReport.Disk]] {
        try await read { db in
            let rows = try Row.fetchAll(
                db, sql: "SELECT uuid, disks FROM place WHERE run = ?", arguments: [run.description])
            return try rows.reduce(into: [:]) { places, row in
                places[row["uuid"]] = try JSONValue(parsing: row["disks"] as String, limits: .ofOurOwn)
                    .decode([MemberReport.Disk].self)
            }
        }
    }
}
