// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

extension Lab {
    /// A guest of its own: its power is taken away.
    @Suite("a guest with databases and a deep chain", .guest(.base))
    struct DeepChain {
        private static let data = ["--disk", "vdb", "--disk", "vdc", "--disk", "vdd"]

        @Test("ten snapshots deep under load, all are merged and no transaction fails")
        func merged() async throws {
            let guest = try LabGuest.current
            try await Program.succeed(LabGuest.lab, "load", guest.name, "start")
            for number in 1...10 { try await cut("deep\(number)", guest) }
            let chains = try await guest.stillpoint("disks", guest.name, "--json").json["disks"]?.array
            #expect(chains?.first { $0["target"] == "vdb" }?["chain"]?.array?.count == 11)
            let before = try await Rows.acknowledged(in: guest.name)
            try await startBench(guest)
            let merged = try await guest.stillpoint("commit", guest.name, "--all", "--json", within: .seconds(240))
            try #require(merged.exit == 0, "\(merged)")
            #expect(try merged.json["snapshots"]?.array?.count == 10)
            let took = try merged.json["tookMs"]?.integer ?? 0
            #expect(try await Virsh.disks(of: guest.name) == guest.disks)
            // It ends at the first transaction that fails.
            let failed = try await guest.sh("systemctl list-units --plain --no-legend --state=failed 'lab-load@*'")
            #expect(failed.isEmpty)
            let bench = try await endBench(guest)
            #expect(bench.processed > 0 && bench.failed == 0, "\(bench)")
            try await Program.succeed(LabGuest.lab, "load", guest.name, "stop")
            let acknowledged = try await Rows.acknowledged(in: guest.name)
            let present = try await Rows.present(in: guest.name)
            for (engine, number) in acknowledged {
                #expect(number > before[engine] ?? 0, "\(engine) stood still at \(number)")
                #expect(present[engine] ?? 0 >= number, "\(engine): acknowledged \(number)")
            }
            print("10 layers of 3 disks merged in \(took) ms; acknowledged before and after: \(before) \(acknowledged)")
            print("pgbench meanwhile: \(bench.processed) transactions, \(bench.failed) failed")
        }

        @Test("back to the third of four by the database's own contents, and back from there")
        func thirdAndBack() async throws {
            let guest = try LabGuest.current
            // Who shuts the guest down; left out of the lab's guests, which start the sooner.
            try await guest.sh("systemctl --quiet unmask systemd-logind && systemctl start systemd-logind")
            try await query("create table visits (number int)", guest)
            for number in 1...4 {
                try await query("insert into visits values (\(number))", guest)
                try await cut("visit\(number)", guest)
            }
            try await query("insert into visits values (5)", guest)
            try await revert(["visit3", "--shutdown"], guest)
            #expect(
                try await query("select string_agg(number::text, ' ' order by number) from visits", guest) == "1 2 3")
            try await query("insert into visits values (30)", guest)
            try await revert(["--undo", "--destroy"], guest)
            #expect(
                try await query("select string_agg(number::text, ' ' order by number) from visits", guest)
                    == "1 2 3 4 5")
            #expect(try await guest.stillpoint("prune", guest.name, "--abandoned").exit == 0)
            #expect(try await guest.stillpoint("commit", guest.name, "--all", within: .seconds(240)).exit == 0)
            #expect(try await Virsh.disks(of: guest.name) == guest.disks)
            #expect(try await guest.leftovers().isEmpty)
        }

        /// Runs of two seconds each until it is told to end, for only a run that ends by itself counts its transactions.
        private func startBench(_ guest: LabGuest) async throws {
            try await guest.sh(
                "cd / && su postgres -c 'createdb bench && pgbench --initialize --quiet --scale=2 bench' 2>/run/bench")
            try await guest.background(
                "bench",
                """
                until [ -e /run/bench.end ]; do
                    su postgres -c 'cd / && pgbench --no-vacuum --client=2 --time=2 bench' || { echo aborted; break; }
                done >>/run/bench 2>&1
                """)
            try await guest.sh("until grep -q '^number of failed\\|^aborted' /run/bench; do sleep 0.2; done")
        }

        private func endBench(_ guest: LabGuest) async throws -> (processed: Int, failed: Int) {
            let counts = try await guest.sh(
                """
                touch /run/bench.end
                while systemctl --quiet is-active bench; do sleep 0.2; done
                awk '/actually processed/ { done += $NF } /^number of failed/ { bad += $5 } /^aborted/ { bad++ }
                    END { print done + 0, bad + 0 }' /run/bench
                """)
            let numbers = counts.split(separator: " ").compactMap { Int($0) }
            try #require(numbers.count == 2, "\(counts)")
            return (numbers[0], numbers[1])
        }

        private func cut(_ name: String, _ guest: LabGuest) async throws {
            let words = ["snapshot", guest.name, "--name", name, "--no-hooks", "--max-freeze", "20s", "-q"] + Self.data
            let taken = try await guest.stillpoint.run(words)
            try #require(taken.exit == 0, "\(taken)")
        }

        private func revert(_ words: [String], _ guest: LabGuest) async throws {
            let back = try await guest.stillpoint.run(["revert", guest.name, "-q"] + words, within: .seconds(240))
            try #require(back.exit == 0, "\(back)")
            // It boots meanwhile.
            try await guest.awaitAgent(within: .seconds(400))
            try await guest.sh("until pg_isready -q; do sleep 0.5; done")
        }

        @discardableResult
        private func query(_ text: String, _ guest: LabGuest) async throws -> String {
            try await guest.sh("cd / && su postgres -c 'psql -qAt -v ON_ERROR_STOP=1' <<END\n\(text)\nEND")
        }
    }
}
