// SPDX-License-Identifier: Apache-2.0

extension PartitionTable {
    /// DOS partition table with logical partitions. The table does not say how long a sector is: 512 bytes, unless only
    /// 4096 lets something be recognised at the partitions' starts.
    static func master(_ disk: some ByteSource, _ head: Block) throws(ReadFailure) -> PartitionTable {
        let entries = (0..<4).map { Entry(head, 446 + $0 * 16) }
        // A FAT boot sector ends with 55 AA as well and has code where the table would be; the kernel asks the same.
        guard entries.allSatisfy(\.isPlausible), entries.contains(where: { $0.type != 0 && $0.count > 0 }) else {
            return .none
        }
        let small = try partitions(disk, entries, sector: 512)
        if case .partitions(let found) = small, try !recognised(disk, found) {
            let large = try partitions(disk, entries, sector: 4096)
            if case .partitions(let found) = large, try recognised(disk, found) { return large }
        }
        return small
    }

    private struct Entry {
        let status: UInt8
        let type: UInt8
        /// In sectors; relative to the table's base.
        let start: UInt64
        let count: UInt64

        init(_ block: Block, _ at: Int) {
            status = block[at]
            type = block[at + 4]
            start = UInt64(block.little(at + 8, as: UInt32.self))
            count = UInt64(block.little(at + 12, as: UInt32.self))
        }

        var isPlausible: Bool { status & 0x7F == 0 }
        var isExtended: Bool { [0x05, 0x0F, 0x85].contains(type) }
        var isUsed: Bool { type != 0 && count > 0 }

        /// Sums of three 32-bit numbers times 4096 stay below 2^46.
        func partition(_ number: Int, base: UInt64, sector: UInt64) -> Partition {
            Partition(
                number: number, offset: (base + start) * sector, length: count * sector, isBootCode: type == 0x41)
        }
    }

    private static func partitions(
        _ disk: some ByteSource, _ entries: [Entry], sector: UInt64
    ) throws(ReadFailure) -> PartitionTable {
        var partitions: [Partition] = []
        for (index, entry) in entries.enumerated() where entry.isUsed && !entry.isExtended {
            partitions.append(entry.partition(index + 1, base: 0, sector: sector))
        }
        if let extended = entries.first(where: { $0.isUsed && $0.isExtended }) {
            partitions += try logical(disk, extended, sector: sector)
        }
        guard partitions.allSatisfy({ $0.offset > 0 && $0.offset + $0.length <= disk.size }) else {
            return .damaged("an MBR partition lies outside the disk")
        }
        return .partitions(partitions)
    }

    /// Follows the chain of extended boot records: one logical partition and one link in each. The kernel stops after
    /// 100 links (`block/partitions/msdos.c`), and so does a chain in a circle.
    private static func logical(
        _ disk: some ByteSource, _ extended: Entry, sector: UInt64
    ) throws(ReadFailure) -> [Partition] {
        var found: [Partition] = []
        var base = extended.start
        for _ in 0..<100 {
            let record = try disk.block(at: base * sector, count: 512)
            guard record[510] == 0x55, record[511] == 0xAA else { break }
            let entries = (0..<4).map { Entry(record, 446 + $0 * 16) }
            for entry in entries where entry.isUsed && !entry.isExtended && found.count < 256 {
                found.append(entry.partition(5 + found.count, base: base, sector: sector))
            }
            guard let link = entries.first(where: { $0.isUsed && $0.isExtended }), link.start > 0 else { break }
            base = extended.start + link.start
        }
        return found
    }

    private static func recognised(
        _ disk: some ByteSource, _ partitions: [Partition]
    ) throws(ReadFailure) -> Bool {
        for partition in partitions {
            guard let volume = Volume(disks: [disk], disk: 0, offset: partition.offset, length: partition.length)
            else { continue }
            if try !["unknown", "empty"].contains(Superblock.identify(volume).kind) { return true }
        }
        return false
    }
}
