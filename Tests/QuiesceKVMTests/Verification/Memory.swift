// SPDX-License-Identifier: Apache-2.0

@testable import QuiesceKVM

/// A disk in memory.
struct Memory: ByteSource {
    let bytes: [UInt8]
    var size: UInt64 { UInt64(bytes.count) }

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    func read(at offset: UInt64, count: Int) throws(ReadFailure) -> [UInt8] {
        Array(Block(bytes).slice(Int(clamping: offset), count))
    }

    /// The head of an LVM2 physical volume with a label, a UUID of 32 `a`, and no areas.
    static var labelled: Block {
        var sector = [UInt8](repeating: 0, count: 512)
        sector.replaceSubrange(0..<8, with: "LABELONE".utf8)
        sector[20] = 32
        sector.replaceSubrange(24..<32, with: "LVM2 001".utf8)
        sector.replaceSubrange(32..<64, with: String(repeating: "a", count: 32).utf8)
        sector.replaceSubrange(16..<20, with: littleEndian(Checksum.lvm.of(sector[20...])))
        return Block(sector)
    }
}

func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian, Array.init)
}

/// Numbers that are the same in each run (SplitMix64).
struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}
