// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

/// What a snapshot of live databases is worth is seen where its images are started. `STILLPOINT_RESTORES` says how many are.
extension Lab.Base {
    private static let rounds = ProcessInfo.processInfo.environment["STILLPOINT_RESTORES"].flatMap(Int.init) ?? 1

    @Test("a copy started from the frozen images recovers every engine to where the manifest says its log stood")
    func restores() async throws {
        let guest = try LabGuest.current
        try await Program.succeed(LabGuest.lab, "load", guest.name, "start")
        for _ in 0..<Self.rounds {
            // Every row that was acknowledged before the hooks took their locks has to be there.
            let acknowledged = try await numbers("report", guest.name)
            let taken = try await guest.stillpoint("snapshot", guest.name, "--exclude", "vde", "--json")
            try #require(taken.exit == 0, "\(taken)")
            let report = try taken.json
            #expect(report.consistency == "application")
            let copy = "\(guest.name)-copy"
            let images = try FrozenImage.all(of: report).map { "\($0.target)=\($0.image)" }
            let result: Result<Void, any Error>
            do {
                try await Program.succeed([LabGuest.lab, "up", "base", copy] + images, within: .seconds(600))
                try await check(copy, against: report, acknowledged)
                result = .success(())
            } catch {
                result = .failure(error)
            }
            try await Program.succeed(LabGuest.lab, "down", copy)
            #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
            try result.get()
        }
        try await Program.succeed(LabGuest.lab, "load", guest.name, "stop")
    }

    private func check(_ copy: String, against report: JSONValue, _ acknowledged: [String: Int]) async throws {
        let present = try await numbers("check", copy)
        for (engine, number) in acknowledged {
            #expect(try #require(present[engine]) >= number, "\(engine): acknowledged \(number)")
        }
        let postgresql = try position("postgresql", of: report)
        #expect(postgresql["relation"] == "atLeast")
        let lsn = try #require(postgresql["lsn"]?.string)
        #expect(
            try await inside(
                copy, "runuser -u postgres -- psql -Atqc \"SELECT pg_current_wal_lsn() >= '$1'::pg_lsn\"", lsn) == "t")
        // Quiet when nothing is wrong.
        _ = try await inside(
            copy,
            "runuser -u postgres -- \"$(ls /usr/lib/postgresql/*/bin/pg_amcheck | tail -n 1)\" --all --install-missing --heapallindexed"
        )

        let mariadb = try position("mysql", of: report)
        #expect(mariadb["relation"] == "exact")
        let gtid = try #require(mariadb["gtid"]?.string)
        #expect(try await inside(copy, "mariadb -Nse 'SELECT @@gtid_binlog_pos'") == gtid)
        // A restart begins a new file: what was recorded is the length of the old one.
        let file = try #require(mariadb["file"]?.string)
        let length = try #require(mariadb["position"]?.integer)
        #expect(try await inside(copy, "stat -c %s \"/var/lib/mysql/$1\"", file) == "\(length)")
        #expect(try await inside(copy, "mariadb -Nse 'CHECK TABLE lab.load'").hasSuffix("OK"))

        _ = try await inside(copy, "cd /srv/data/redis/appendonlydir && redis-check-aof *.manifest")
        #expect(try await inside(copy, "sqlite3 /srv/data/sqlite/load.db 'PRAGMA integrity_check'") == "ok")
    }

    private func position(_ application: String, of report: JSONValue) throws -> JSONValue {
        let applications = try #require(report.member?["applications"]?.array)
        return try #require(applications.first { $0["name"]?.string == application }?["position"])
    }

    private func inside(_ guest: String, _ script: String, _ argument: String = "") async throws -> String {
        try await Program.succeed(LabGuest.lab, "exec", guest, "--", "sh", "-c", script, "sh", argument)
    }

    /// The highest number of each engine: acknowledged (`report`) or there (`check`).
    private func numbers(_ verb: String, _ guest: String) async throws -> [String: Int] {
        let lines = try await Program.succeed(LabGuest.lab, "load", guest, verb).split(separator: "\n")
        return lines.reduce(into: [:]) { numbers, line in
            let words = line.split(separator: " ")
            if let engine = words.first, let number = words.last { numbers[String(engine)] = Int(number) }
        }
    }
}
