// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

extension Lab.Base {
    @Test(
        "copied under load, committed, restored under another name and booted: every row acknowledged before is there")
    func restoredCopy() async throws {
        let guest = try LabGuest.current
        let place = try Place.makeFolder(in: "/var/tmp")
        defer { try? FileManager.default.removeItem(atPath: place) }
        try await Program.succeed(LabGuest.lab, "load", guest.name, "start")
        let acknowledged = try await Rows.acknowledged(in: guest.name)
        let taken = try await guest.stillpoint("snapshot", guest.name, "--json")
        // On a busy host a database may not be had in time: what is durable is in the images all the same.
        try #require([0, 10].contains(taken.exit), "\(taken)")
        let copied = try await guest.stillpoint(
            "copy", guest.name, "\(place)/copy", "--compress", "--verify", "--json", within: .seconds(600))
        try await Program.succeed(LabGuest.lab, "load", guest.name, "stop")
        #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
        try #require(copied.exit == 0, "\(copied)")
        let restored = try await RestoredGuest.expect(
            acknowledged, from: "\(place)/copy/manifest.json", in: place, by: guest)
        let times = [try copied.json, restored].map { $0["tookMs"]?.integer.map(String.init) ?? "?" }
        let bytes = try copied.json["disks"]?.array?.compactMap { $0["fileBytes"]?.integer }.reduce(0, +) ?? 0
        print("copied: \(bytes) bytes in \(times[0]) ms, restored in \(times[1]) ms, \(acknowledged)")
    }
}
