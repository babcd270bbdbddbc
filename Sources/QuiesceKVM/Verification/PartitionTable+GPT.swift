// SPDX-License-Identifier: Apache-2.0

extension PartitionTable {
    /// GUID partition table (UEFI 2.10, 5.3), with logical sectors of 512 or 4096 bytes. Only the first copy counts:
    /// Linux does not look at the second one unless told to.
    static func guid(_ disk: some ByteSource, _ head: Block) throws(ReadFailure) -> PartitionTable {
        guard let sector = [512, 4096].first(where: { head.has("EFI PART", at: $0) }) else {
            return .damaged("a protective MBR, but no GPT header")
        }
        let header = Block(head.slice(sector, sector))
        let headerSize = Int(header.little(12, as: UInt32.self))
        guard (92...512).contains(headerSize) else { return .damaged("the GPT header has a wrong size") }
        var plain = header.slice(0, headerSize)
        plain.replaceSubrange((plain.startIndex + 16)..<(plain.startIndex + 20), with: [0, 0, 0, 0])
        guard Checksum.gpt.of(plain) == header.little(16, as: UInt32.self) else {
            return .damaged("the GPT header fails its checksum")
        }
        let entrySize = Int(header.little(84, as: UInt32.self))
        let entryCount = Int(header.little(80, as: UInt32.self))
        guard (128...4096).contains(entrySize), entrySize % 128 == 0, (1...1024).contains(entryCount) else {
            return .damaged("the GPT has \(entryCount) entries of \(entrySize) bytes")
        }
        let (start, overflow) = header.little(72, as: UInt64.self).multipliedReportingOverflow(by: UInt64(sector))
        let table = overflow ? Block([]) : try disk.block(at: start, count: entrySize * entryCount)
        guard Checksum.gpt.of(table.bytes) == header.little(88, as: UInt32.self) else {
            return .damaged("the GPT entries fail their checksum")
        }
        var partitions: [Partition] = []
        for index in 0..<entryCount where !table.isZero(index * entrySize, 16) {
            let first = table.little(index * entrySize + 32, as: UInt64.self)
            let last = table.little(index * entrySize + 40, as: UInt64.self)
            guard first > 0, last >= first, last < disk.size / UInt64(sector) else {
                return .damaged("GPT entry \(index + 1) lies outside the disk")
            }
            partitions.append(
                Partition(
                    number: index + 1, offset: first * UInt64(sector), length: (last - first + 1) * UInt64(sector),
                    isBootCode: bootCode.contains(Array(table.slice(index * entrySize, 16)))))
        }
        return .partitions(partitions)
    }

    /// As they lie on the disk: BIOS boot (21686148-6449-6E6F-744E-656564454649), PReP (9E1A2D38-C612-4316-AA26-8B49521E5A8B),
    /// Microsoft's reserved one (E3C9E316-0B5C-4DB8-817D-F92DF00215AE).
    private static let bootCode: Set<[UInt8]> = [
        Array("Hah!IdontNeedEFI".utf8),
        [0x38, 0x2D, 0x1A, 0x9E, 0x12, 0xC6, 0x16, 0x43, 0xAA, 0x26, 0x8B, 0x49, 0x52, 0x1E, 0x5A, 0x8B],
        [0x16, 0xE3, 0xC9, 0xE3, 0x5C, 0x0B, 0xB8, 0x4D, 0x81, 0x7D, 0xF9, 0x2D, 0xF0, 0x02, 0x15, 0xAE],
    ]
}
