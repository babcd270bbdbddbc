// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

/// A domain without a guest whose snapshot `s1` is copied: of its first disk the chain is two layers deep.
enum Copied {
    /// - Parameter filled: with 8 MiB of data on the first disk.
    static func withSnapshot(
        filled: Bool = false, _ body: (BareDomain, [FrozenImage]) async throws -> Void
    ) async throws {
        try await HandedOver.with { domain in
            if filled { try await domain.write("0x55", 0, "8M") }
            let first = try await domain.stillpoint(
                "snapshot", domain.name, "--no-freeze", "--disk", "vda", "--name", "s0")
            #expect(first.exit == 0, "\(first)")
            try await domain.write(0x22, to: 0, at: 64)
            try await domain.write(0x33, to: 1)
            let taken = try await domain.stillpoint("snapshot", domain.name, "--no-freeze", "--name", "s1", "--json")
            #expect(taken.exit == 0, "\(taken)")
            #expect(try taken.json.disks.first?["chain"]?.array?.count == 2)
            // After the cut: in no copy.
            try await domain.write(0x44, to: 0, at: 64)
            try await body(domain, try FrozenImage.all(of: try taken.json))
            let committed = try await domain.stillpoint("commit", domain.name, "--all")
            #expect(committed.exit == 0, "\(committed)")
        }
    }

    enum Format: String { case raw, qcow2 }

    static func images(in folder: String, _ targets: [String], _ format: Format = .qcow2) -> [FrozenImage] {
        targets.map { FrozenImage(target: $0, image: "\(folder)/\($0).\(format)", format: "\(format)") }
    }

    /// Asks again and again, for a minute.
    static func until(_ condition: () async throws -> Bool) async throws {
        let end = ContinuousClock.now + .seconds(60)
        while try await !condition() {
            try #require(ContinuousClock.now < end, "it did not come to that")
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    /// Of what a guest would read.
    static func contentSums(of images: [FrozenImage]) async throws -> [String] {
        try await Place.withFolder { folder in
            var sums: [String] = []
            for image in images {
                sums.append(String(try await Program.succeed("sha256sum", try await image.flat(in: folder)).prefix(64)))
            }
            return sums
        }
    }
}
