// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

extension Lab {
    @Suite("a snapshot's whole life")
    struct Life {
        @Test(
            "after every one of many random steps, ours and virsh's, each image holds what was written and nothing is left",
            .timeLimit(.minutes(30)))
        func randomWalk() async throws {
            let environment = ProcessInfo.processInfo.environment
            let seed = environment["STILLPOINT_SEED"].flatMap(UInt64.init) ?? 1
            let steps = environment["STILLPOINT_STEPS"].flatMap(Int.init) ?? 60
            print("STILLPOINT_SEED=\(seed) STILLPOINT_STEPS=\(steps)")
            try await BareDomain.with(images: ["one.qcow2", "two.qcow2", "three.qcow2"]) { domain in
                var walk = LifeWalk(domain, seed: seed)
                for step in 1...steps {
                    do {
                        try await walk.take(step)
                        try await walk.check()
                    } catch {
                        Issue.record(
                            "seed \(seed), step \(step): \(error)\n\(walk.history.suffix(40).joined(separator: "\n"))")
                        return
                    }
                }
                try await walk.end()
                print("\(steps) steps: \(walk.tally)")
            }
        }
    }
}

/// Numbers that a seed decides (SplitMix64).
struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
