// SPDX-License-Identifier: Apache-2.0

/// What a disk is divided into. Numbers come from the guest: counts are bounded, sums checked, ranges held to the disk.
enum PartitionTable: Equatable {
    struct Partition: Equatable {
        let number: Int
        /// In bytes.
        let offset: UInt64
        let length: UInt64
        /// By its type no filesystem is in it: a boot loader's own, or reserved.
        var isBootCode = false
    }

    case partitions([Partition])
    case damaged(String)
    /// No table: the disk may be one filesystem.
    case none

    static func read(_ disk: some ByteSource) throws(ReadFailure) -> PartitionTable {
        let head = try disk.block(at: 0, count: 8192)
        guard head[510] == 0x55, head[511] == 0xAA else { return .none }
        // A protective entry (0xEE) announces GPT; one beside others is a hybrid, where GPT counts as well.
        if (0..<4).contains(where: { head[446 + $0 * 16 + 4] == 0xEE }) {
            return try guid(disk, head)
        }
        return try master(disk, head)
    }
}
