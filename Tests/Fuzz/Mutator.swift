// SPDX-License-Identifier: Apache-2.0

/// SplitMix64: the same seed gives the same inputs on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// Makes new inputs from the corpus: mostly nearly-valid JSON, which reaches furthest.
struct Mutator {
    private static let tokens: [[UInt8]] =
        [
            "{", "}", "[", "]", ",", ":", "\"", "\\", "null", "true", "false", "NaN", "-Infinity", "0", "-", "-0", "01",
            "1.", "1e400", "1.5e-3", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "\"\"",
            "\"a\":1,", ",\"a\":2", "\\u0000", "\\ud83d\\ude00", "\\ud800", "\\u00e9", "\u{0}", "\t", "\u{7F}", "é",
            "e\u{301}", "\u{202E}", "😀", "[[[[[[[[", "]]]]]]]]", "{\"a\":", "/**/", "\u{FEFF}", "'",
        ].map { Array($0.utf8) } + [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xE2, 0x80]]

    private let seeds: [[UInt8]]
    private var random: SeededGenerator

    init(seeds: [[UInt8]], seed: UInt64) {
        self.seeds = seeds
        random = SeededGenerator(seed: seed)
    }

    mutating func next() -> [UInt8] {
        var bytes = pick(seeds)
        for _ in 0..<Int.random(in: 1...3, using: &random) { mutate(&bytes) }
        return bytes
    }

    private mutating func mutate(_ bytes: inout [UInt8]) {
        let place = Int.random(in: 0...bytes.count, using: &random)
        let end = min(bytes.count, place + Int.random(in: 0...8, using: &random))
        switch Int.random(in: 0..<8, using: &random) {
        case 0: if place < bytes.count { bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random) }
        case 1: if place < bytes.count { bytes[place] = UInt8.random(in: .min ... .max, using: &random) }
        case 2: bytes.removeSubrange(place..<end)
        case 3: bytes.insert(contentsOf: bytes[place..<end], at: end)
        case 4: bytes.insert(contentsOf: pick(Self.tokens), at: place)
        case 5: bytes.replaceSubrange(place..<end, with: pick(Self.tokens))
        case 6: bytes = Array("[".utf8) + bytes + Array(",".utf8) + pick(seeds) + Array("]".utf8)
        default: bytes.removeSubrange(place...)
        }
    }

    private mutating func pick(_ items: [[UInt8]]) -> [UInt8] {
        items.randomElement(using: &random) ?? []
    }
}
