// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import QuiesceKVM

@Suite("partition tables")
struct PartitionTableTests {
    private typealias Partition = PartitionTable.Partition

    /// A GPT whose checksums are right whatever stands in it.
    private func gpt(
        sector: Int = 512, megabytes: Int = 4, entries: [(first: UInt64, last: UInt64)], count: UInt32 = 128,
        entrySize: UInt32 = 128, table: UInt64 = 2
    ) -> [UInt8] {
        var disk = [UInt8](repeating: 0, count: megabytes << 20)
        func put(_ bytes: [UInt8], _ at: Int) { disk.replaceSubrange(at..<(at + bytes.count), with: bytes) }
        disk[510] = 0x55
        disk[511] = 0xAA
        disk[450] = 0xEE
        for (index, entry) in entries.enumerated() {
            let at = 2 * sector + index * 128
            put([UInt8](repeating: 0xEB, count: 16), at)
            put(littleEndian(entry.first) + littleEndian(entry.last), at + 32)
        }
        put(Array("EFI PART".utf8), sector)
        put(littleEndian(UInt32(92)), sector + 12)
        put(littleEndian(table) + littleEndian(count) + littleEndian(entrySize), sector + 72)
        let size = Int(min(UInt64(count) * UInt64(entrySize), 1 << 20))
        put(littleEndian(Checksum.gpt.of(disk[(2 * sector)..<(2 * sector + size)])), sector + 88)
        put(littleEndian(Checksum.gpt.of(disk[sector..<(sector + 92)])), sector + 16)
        return disk
    }

    @Test("sfdisk's GPT is read as sfdisk says")
    func realGPT() async throws {
        try await Bench.with { bench in
            try bench.blank("disk", megabytes: 8)
            try await bench.partition("disk", "label: gpt\nstart=2048, size=4096\nstart=8192, size=100\n")
            let table = try PartitionTable.read(DiskFile(path: bench.path("disk")))
            #expect(
                table
                    == .partitions([
                        Partition(number: 1, offset: 2048 * 512, length: 4096 * 512),
                        Partition(number: 2, offset: 8192 * 512, length: 100 * 512),
                    ]))
        }
    }

    @Test("sfdisk's MBR is read with its logical partitions, numbered from 5")
    func realMBR() async throws {
        try await Bench.with { bench in
            try bench.blank("disk", megabytes: 16)
            let script = """
                label: dos
                start=2048, size=4096, type=83, bootable
                start=8192, size=20000, type=5
                start=10240, size=2048, type=83
                start=14336, size=4096, type=83

                """
            try await bench.partition("disk", script)
            let table = try PartitionTable.read(DiskFile(path: bench.path("disk")))
            #expect(
                table
                    == .partitions([
                        Partition(number: 1, offset: 2048 * 512, length: 4096 * 512),
                        Partition(number: 5, offset: 10240 * 512, length: 2048 * 512),
                        Partition(number: 6, offset: 14336 * 512, length: 4096 * 512),
                    ]))
        }
    }

    @Test("a GPT with sectors of 4096 bytes is read in those sectors")
    func largeSectors() throws {
        let table = try PartitionTable.read(Memory(gpt(sector: 4096, entries: [(256, 300)])))
        #expect(table == .partitions([Partition(number: 1, offset: 256 << 12, length: 45 << 12)]))
    }

    @Test("an MBR is read in sectors of 4096 bytes if only then something is found")
    func largeSectorsMBR() throws {
        var disk = [UInt8](repeating: 0, count: 2 << 20)
        disk.replaceSubrange(446..<462, with: [0, 0, 0, 0, 0x82, 0, 0, 0, 16, 0, 0, 0, 64, 0, 0, 0])
        disk[510] = 0x55
        disk[511] = 0xAA
        let small = try PartitionTable.read(Memory(disk))
        #expect(small == .partitions([Partition(number: 1, offset: 16 << 9, length: 64 << 9)]))
        disk.replaceSubrange((16 * 4096 + 4086)..<(16 * 4096 + 4096), with: "SWAPSPACE2".utf8)
        let large = try PartitionTable.read(Memory(disk))
        #expect(large == .partitions([Partition(number: 1, offset: 16 << 12, length: 64 << 12)]))
    }

    @Test("a boot sector of FAT is not taken for a table")
    func bootSector() async throws {
        try await Bench.with { bench in
            try bench.blank("fat", megabytes: 40)
            try await bench.tool("mkfs.fat", "-F", "32", bench.path("fat"))
            #expect(try PartitionTable.read(DiskFile(path: bench.path("fat"))) == .none)
        }
    }

    @Test("a changed byte in header or entries is noticed", arguments: [512 + 40, 1024 + 33])
    func damagedGPT(offset: Int) throws {
        var disk = gpt(entries: [(34, 100)])
        disk[offset] ^= 1
        guard case .damaged = try PartitionTable.read(Memory(disk)) else {
            Issue.record("taken for whole")
            return
        }
    }

    @Test("a protective MBR without GPT is damage, not an empty disk")
    func protectiveOnly() throws {
        var disk = gpt(entries: [])
        disk.replaceSubrange(512..<1024, with: [UInt8](repeating: 0, count: 512))
        #expect(try PartitionTable.read(Memory(disk)) == .damaged("a protective MBR, but no GPT header"))
    }

    @Test(
        "entries that wrap, run backwards or leave the disk are refused",
        arguments: [
            (UInt64.max, UInt64.max), (34, .max), (100, 99), (0, 10), (34, 8192),
        ])
    func hostileEntries(first: UInt64, last: UInt64) throws {
        let table = try PartitionTable.read(Memory(gpt(entries: [(first, last)])))
        #expect(table == .damaged("GPT entry 1 lies outside the disk"))
    }

    @Test(
        "a table of impossible size or place is refused",
        arguments: [
            (UInt32.max, UInt32(128), UInt64(2)), (0, 128, 2), (128, 0, 2), (128, 129, 2), (128, .max, 2),
            (128, 128, .max), (128, 128, 1 << 62),
        ])
    func hostileTable(count: UInt32, entrySize: UInt32, table: UInt64) throws {
        let disk = gpt(entries: [(34, 100)], count: count, entrySize: entrySize, table: table)
        guard case .damaged = try PartitionTable.read(Memory(disk)) else {
            Issue.record("taken for whole")
            return
        }
    }

    @Test("logical partitions that link in a circle end")
    func circle() throws {
        var disk = [UInt8](repeating: 0, count: 1 << 20)
        func put(_ entries: [(type: UInt8, start: UInt32, count: UInt32)], at sector: Int) {
            for (index, entry) in entries.enumerated() {
                let bytes = [0, 0, 0, 0, entry.type, 0, 0, 0] + littleEndian(entry.start) + littleEndian(entry.count)
                let at = sector * 512 + 446 + index * 16
                disk.replaceSubrange(at..<(at + 16), with: bytes)
            }
            disk[sector * 512 + 510] = 0x55
            disk[sector * 512 + 511] = 0xAA
        }
        put([(0x05, 64, 1024)], at: 0)
        put([(0x83, 1, 8), (0x05, 32, 100)], at: 64)
        put([(0x83, 1, 8), (0x05, 32, 100)], at: 96)
        guard case .partitions(let found) = try PartitionTable.read(Memory(disk)) else {
            Issue.record("refused")
            return
        }
        #expect(found.count == 100)
        #expect(found.first == Partition(number: 5, offset: 65 * 512, length: 8 * 512))
    }

    @Test("no bytes make the readers trap")
    func fuzz() throws {
        var random = Seeded(2)
        for round in 0..<300 {
            var disk = gpt(megabytes: 1, entries: [(34, 100), (200, 300)])
            for _ in 0..<16 {
                let range = round % 2 == 0 ? 446..<2048 : 446..<512
                disk[Int.random(in: range, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            disk[510] = 0x55
            disk[511] = 0xAA
            disk.replaceSubrange(528..<532, with: [0, 0, 0, 0])
            let sum = Checksum.gpt.of(disk[512..<604])
            disk.replaceSubrange(528..<532, with: littleEndian(sum))
            _ = try PartitionTable.read(Memory(disk))
        }
    }
}
