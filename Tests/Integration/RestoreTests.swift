// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

/// What a snapshot of live databases is worth is seen where its images are started. `STILLPOINT_RESTORES` says how many are,
/// and each is a row of the table that is printed.
extension Lab.Base {
    private static let rounds = ProcessInfo.processInfo.environment["STILLPOINT_RESTORES"].flatMap(Int.init) ?? 1

    @Test("a clone has every row that was acknowledged before the hooks took their locks, and recovers to the manifest")
    func restores() async throws {
        let guest = try LabGuest.current
        try await Program.succeed(LabGuest.lab, "load", guest.name, "start")
        for round in 1...Self.rounds {
            let acknowledged = try await Rows.acknowledged(in: guest.name)
            let taken = try await guest.stillpoint("snapshot", guest.name, "--json")
            try #require(taken.exit == 0, "\(taken)")
            #expect(try taken.json.consistency == "application")
            let verified = try await guest.stillpoint(
                "verify", guest.name, "--level", "application", "--keep", "--json", within: .seconds(650))
            let result: Result<Void, any Error>
            do {
                try #require(verified.exit == 0, "\(verified)")
                let clone = try #require(try verified.json["clone"])
                try await check(try #require(clone["name"]?.string), acknowledged)
                let times = ["bootMs", "recoveryMs"].map { clone[$0]?.integer.map(String.init) ?? "?" }
                print("restore \(round): booted \(times[0]) ms, recovered \(times[1]) ms, \(acknowledged)")
                result = .success(())
            } catch {
                result = .failure(error)
            }
            if let name = try verified.json["clone"]?["name"]?.string {
                _ = try? await Virsh.run("destroy", name)
                let recovered = try await guest.stillpoint("recover", "--json")
                #expect(try recovered.json["clones"]?.array?.compactMap(\.string) == [name])
            }
            #expect(try await Clones.left(of: guest) == [])
            #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
            try result.get()
        }
        try await Program.succeed(LabGuest.lab, "load", guest.name, "stop")
    }

    private func check(_ clone: String, _ acknowledged: [String: Int]) async throws {
        // The lab's own commands work on domains with its mark.
        try await Virsh.run(
            "metadata", clone, "https://stillpoint.dev/lab/1", "--key", "lab", "--set", "<lab/>", "--live")
        let present = try await Rows.present(in: clone)
        for (engine, number) in acknowledged {
            #expect(try #require(present[engine]) >= number, "\(engine): acknowledged \(number)")
        }
    }
}
