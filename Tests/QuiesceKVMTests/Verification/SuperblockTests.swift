// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import QuiesceKVM

@Suite("superblocks")
struct SuperblockTests {
    private func identify(_ name: String, in bench: Bench) throws -> Superblock {
        try Superblock.identify(DiskFile(path: bench.path(name)))
    }

    private func blkid(_ name: String, in bench: Bench) async throws -> (type: String, uuid: String?) {
        let output = try await bench.tool("blkid", "-p", "-o", "export", bench.path(name))
        func value(_ key: String) -> String? {
            output.split(separator: "\n").first { $0.hasPrefix("\(key)=") }.map { String($0.dropFirst(key.count + 1)) }
        }
        return (try #require(value("TYPE")), value("UUID"))
    }

    @Test(
        "kind and UUID are those of blkid",
        arguments: [
            ["mke2fs", "-q", "-F", "-t", "ext4"], ["mke2fs", "-q", "-F", "-t", "ext3"],
            ["mke2fs", "-q", "-F", "-t", "ext2"], ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^metadata_csum,^64bit"],
            ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024"], ["mkfs.btrfs", "-q"],
            ["mkfs.btrfs", "-q", "--csum", "xxhash"],
            ["mkfs.xfs", "-q"], ["mkfs.xfs", "-q", "-m", "crc=0"], ["mkfs.fat", "-F", "32"], ["mkfs.fat", "-F", "16"],
            ["mkswap", "-q"],
        ])
    func kinds(command: [String]) async throws {
        try await Bench.with { bench in
            try bench.blank("image", megabytes: 320)
            let made = try await Tool(command[0], package: "?").run(
                command.dropFirst() + [bench.path("image")], deadline: .now + .seconds(300))
            try #require(made.succeeded, "\(made.reason)")
            let found = try identify("image", in: bench)
            let expected = try await blkid("image", in: bench)
            #expect(found.kind == expected.type)
            #expect(found.uuid == expected.uuid)
            #expect(found.result == .ok)
        }
    }

    @Test("an ext4 without journal says nothing about a freeze")
    func withoutJournal() async throws {
        try await Bench.with { bench in
            try await bench.ext4("fs", megabytes: 8, "-O", "^has_journal")
            let found = try identify("fs", in: bench)
            #expect(found.frozen == nil)
            #expect(found.result == .ok)
            #expect(found.detail == "no journal: whether it was frozen cannot be told")
        }
    }

    @Test("errors that the guest's kernel recorded are a failure")
    func recordedErrors() async throws {
        try await Bench.with { bench in
            try await bench.ext4("fs")
            try await bench.tool("debugfs", "-w", "-R", "set_super_value state 2", bench.path("fs"))
            #expect(try identify("fs", in: bench).result == .failed)
        }
    }

    @Test("a changed byte in an ext4, btrfs or XFS superblock is noticed")
    func checksums() async throws {
        try await Bench.with { bench in
            try await bench.ext4("ext4")
            try bench.blank("btrfs", megabytes: 128)
            try await bench.tool("mkfs.btrfs", "-q", bench.path("btrfs"))
            try bench.blank("xfs", megabytes: 320)
            try await bench.tool("mkfs.xfs", "-q", bench.path("xfs"))
            for (name, offset) in [("ext4", 1024 + 0x88), ("btrfs", 0x10000 + 0x130), ("xfs", 0x70)] {
                let byte = try bench.bytes(of: name, at: UInt64(offset), count: 1)
                try bench.write(byte.map { $0 ^ 1 }, to: name, at: UInt64(offset))
                let found = try identify(name, in: bench)
                #expect(found.kind == name)
                #expect(found.result == .failed)
                #expect(found.detail == "the superblock fails its checksum")
            }
        }
    }

    @Test("an ext4 larger than its volume is a failure")
    func truncated() async throws {
        try await Bench.with { bench in
            try await bench.ext4("fs", megabytes: 16)
            try bench.write([], to: "fs", at: 8 << 20)
            #expect(try identify("fs", in: bench).detail == "the filesystem is larger than the volume that holds it")
        }
    }

    @Test("a btrfs log tree means that it was not frozen")
    func logTree() async throws {
        try await Bench.with { bench in
            try bench.blank("fs", megabytes: 128)
            try await bench.tool("mkfs.btrfs", "-q", bench.path("fs"))
            #expect(try identify("fs", in: bench).frozen == true)
            var block = try bench.bytes(of: "fs", at: 0x10000, count: 0x1000)
            block.replaceSubrange(0x60..<0x68, with: littleEndian(UInt64(0x50_0000)))
            block.replaceSubrange(0..<4, with: littleEndian(Checksum.castagnoli.of(block[0x20...])))
            try bench.write(block, to: "fs", at: 0x10000)
            let found = try identify("fs", in: bench)
            #expect(found.frozen == false)
            #expect(found.result == .ok)
        }
    }

    @Test("of two filesystems that both show, none is chosen")
    func ambiguous() async throws {
        try await Bench.with { bench in
            try bench.blank("fs", megabytes: 128)
            try await bench.tool("mkfs.btrfs", "-q", bench.path("fs"))
            let stale = try bench.bytes(of: "fs", at: 0x10000, count: 0x1000)
            try await bench.tool("mke2fs", "-q", "-F", "-t", "ext4", bench.path("fs"))
            try bench.write(stale, to: "fs", at: 0x10000)
            let found = try identify("fs", in: bench)
            #expect(found.kind == "unknown")
            #expect(found.detail == "ambiguous: carries the signatures of btrfs and ext4")
        }
    }

    @Test("LUKS, md and ZFS are named and not checked")
    func containers() throws {
        func disk(_ parts: (offset: Int, bytes: [UInt8])...) -> Memory {
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            for part in parts {
                bytes.replaceSubrange(part.offset..<(part.offset + part.bytes.count), with: part.bytes)
            }
            return Memory(bytes)
        }
        let luks = disk((0, Array("LUKS".utf8) + [0xBA, 0xBE]), (168, Array("01234567-89ab".utf8)))
        #expect(try Superblock.identify(luks).kind == "crypto_LUKS")
        #expect(try Superblock.identify(luks).uuid == "01234567-89ab")
        let magic = littleEndian(UInt32(0xA92B_4EFC))
        for (offset, version) in [(4096, "1.2"), (0, "1.1"), ((1 << 20) - 8192, "1.0"), ((1 << 20) - 65536, "0.90")] {
            let member = try Superblock.identify(disk((offset, magic)))
            #expect(member.kind == "linux_raid_member")
            #expect(member.result == .notChecked)
            #expect(member.detail == "member of an md array, raid level 0, metadata \(version)")
        }
        let uberblock = littleEndian(UInt64(0x00BA_B10C))
        let zfs = disk((0x20000, uberblock), (0x20400, uberblock), (0x20800, uberblock), (0x20C00, uberblock))
        #expect(try Superblock.identify(zfs).kind == "zfs_member")
    }

    @Test("nothing at all is empty, and anything else data")
    func nothing() throws {
        #expect(try Superblock.identify(Memory([UInt8](repeating: 0, count: 1 << 18))).kind == "empty")
        #expect(try Superblock.identify(Memory([UInt8](repeating: 9, count: 1 << 18))).kind == "data")
        #expect(try Superblock.identify(Memory([])).kind == "empty")
        #expect(try Superblock.identify(Memory([0x53, 0xEF])).kind == "data")
    }

    @Test("no bytes make the readers trap")
    func fuzz() throws {
        var random = Seeded(3)
        let magics: [(offset: Int, bytes: [UInt8])] = [
            (1024 + 0x38, [0x53, 0xEF]), (0x10040, Array("_BHRfS_M".utf8)), (0, Array("XFSB".utf8)),
            (510, [0x55, 0xAA]), (82, Array("FAT32   ".utf8)), (4086, Array("SWAPSPACE2".utf8)),
            (0, Array("LUKS".utf8) + [0xBA, 0xBE]), (512, Array("LABELONE".utf8)), (4096, [0xFC, 0x4E, 0x2B, 0xA9]),
        ]
        for round in 0..<200 {
            var bytes = (0..<Superblock.headSize).map { _ in UInt8.random(in: 0...255, using: &random) }
            let magic = magics[round % magics.count]
            bytes.replaceSubrange(magic.offset..<(magic.offset + magic.bytes.count), with: magic.bytes)
            let cut = Int.random(in: 0...bytes.count, using: &random)
            _ = try Superblock.identify(Memory(round % 3 == 0 ? Array(bytes.prefix(cut)) : bytes))
        }
    }
}
