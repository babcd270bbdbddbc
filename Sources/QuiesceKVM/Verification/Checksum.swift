// SPDX-License-Identifier: Apache-2.0

/// A reflected 32-bit CRC; the formats differ in polynomial, start value and final inversion.
struct Checksum: Sendable {
    private let table: [UInt32]
    private let start: UInt32
    private let inverted: Bool

    /// GPT (UEFI 2.10, 5.3.2).
    static let gpt = Checksum(0xEDB8_8320, start: .max, inverted: true)
    /// LVM2 labels and metadata (`lib/misc/crc.c`).
    static let lvm = Checksum(0xEDB8_8320, start: 0xF597_A6CF, inverted: false)
    /// btrfs and XFS superblocks.
    static let castagnoli = Checksum(0x82F6_3B78, start: .max, inverted: true)
    /// ext4 leaves out the final inversion.
    static let ext4 = Checksum(0x82F6_3B78, start: .max, inverted: false)

    private init(_ polynomial: UInt32, start: UInt32, inverted: Bool) {
        self.start = start
        self.inverted = inverted
        table = (0..<256).map { byte in
            (0..<8).reduce(UInt32(byte)) { value, _ in value & 1 == 1 ? polynomial ^ value >> 1 : value >> 1 }
        }
    }

    func of(_ bytes: some Sequence<UInt8>) -> UInt32 {
        let value = bytes.reduce(start) { table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] ^ $0 >> 8 }
        return inverted ? ~value : value
    }
}
