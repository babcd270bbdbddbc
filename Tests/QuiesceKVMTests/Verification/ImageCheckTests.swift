// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import QuiesceKVM

@Suite("frozen images")
struct ImageCheckTests {
    @Test("a frozen ext4 in a qcow2 is proved and found clean, and nothing is left behind")
    func frozenExt4() async throws {
        try await Bench.with { bench in
            try await bench.ext4("fs.raw")
            try await bench.qcow2("disk.qcow2", from: "fs.raw")
            let before = try bench.bytes(of: "disk.qcow2", at: 0, count: 1 << 24)
            let findings = try await bench.check(("vda", "disk.qcow2", "qcow2"))
            #expect(findings.map(\.place) == ["vda"])
            #expect(findings.first?.kind == "ext4")
            #expect(findings.first?.result == .ok)
            #expect(findings.first?.frozen == true)
            #expect(findings.first?.detail == "frozen: journal empty; e2fsck: clean")
            let uuid = try await bench.tool("blkid", "-p", "-o", "value", "-s", "UUID", bench.path("fs.raw"))
            #expect(findings.first?.uuid == uuid.split(separator: "\n").first.map(String.init))
            #expect(try bench.bytes(of: "disk.qcow2", at: 0, count: 1 << 24) == before)
            #expect(bench.leftInScratch.isEmpty)
        }
    }

    @Test("an ext4 that waits for its journal was not frozen, and is whole after preening")
    func crashedExt4() async throws {
        try await Bench.with { bench in
            try await bench.ext4("fs.raw")
            try await bench.tool("debugfs", "-w", "-R", "feature needs_recovery", bench.path("fs.raw"))
            let findings = try await bench.check(("vda", "fs.raw", "raw"))
            #expect(findings.first?.frozen == false)
            #expect(findings.first?.result == .ok)
            #expect(
                findings.first?.detail.hasPrefix("needs_recovery is set: not frozen when the cut was made;") == true)
        }
    }

    @Test("an ext4 with a lost inode table fails")
    func brokenExt4() async throws {
        try await Bench.with { bench in
            try await bench.ext4("fs.raw", "-b", "1024")
            let place = try await bench.tool("debugfs", "-R", "imap <2>", bench.path("fs.raw"))
            let block = try #require(place.firstMatch(of: /located at block (\d+)/).flatMap { UInt64($0.1) })
            try bench.write([UInt8](repeating: 0xA5, count: 8192), to: "fs.raw", at: block * 1024)
            let findings = try await bench.check(("vda", "fs.raw", "raw"))
            #expect(findings.first?.result == .failed)
        }
    }

    @Test("a frozen ext4 with an orphaned inode, which e2fsck -fn alone calls broken, is whole")
    func orphanedExt4() async throws {
        try await Bench.with { bench in
            try await bench.ext4("fs.raw")
            let image = bench.path("fs.raw")
            // What the kernel leaves of a deleted file that is still open: no name, no links, head of the orphan list.
            let stat = try await bench.tool("debugfs", "-R", "stat /a/b/file", image)
            let inode = try #require(stat.split(separator: " ").dropFirst().first.map(String.init))
            try await bench.tool("debugfs", "-w", "-R", "unlink /a/b/file", image)
            try await bench.tool("debugfs", "-w", "-R", "set_inode_field <\(inode)> links_count 0", image)
            try await bench.tool("debugfs", "-w", "-R", "set_super_value last_orphan \(inode)", image)
            await #expect(throws: Bench.Failed.self) { try await bench.tool("e2fsck", "-fn", image) }
            let findings = try await bench.check(("vda", "fs.raw", "raw"))
            #expect(findings.first?.result == .ok)
            #expect(findings.first?.frozen == true)
        }
    }

    @Test("every partition of a disk is found, with what cannot be claimed left unclaimed")
    func partitioned() async throws {
        try await Bench.with { bench in
            try bench.blank("disk", megabytes: 420)
            let script = """
                label: gpt
                start=2048, size=65536
                start=67584, size=32768
                start=100352, size=16384
                start=116736, size=614400
                start=731136, size=2048

                """
            try await bench.partition("disk", script)
            try bench.blank("efi", megabytes: 32)
            try await bench.tool("mkfs.fat", bench.path("efi"))
            try await bench.lay("efi", into: "disk", at: 2048 << 9)
            try await bench.ext4("root", megabytes: 16)
            try await bench.lay("root", into: "disk", at: 67584 << 9)
            try bench.blank("swap", megabytes: 8)
            try await bench.tool("mkswap", "-q", bench.path("swap"))
            try await bench.lay("swap", into: "disk", at: 100_352 << 9)
            try bench.blank("data", megabytes: 300)
            try await bench.tool("mkfs.xfs", "-q", bench.path("data"))
            try await bench.lay("data", into: "disk", at: 116_736 << 9)
            try await bench.qcow2("disk.qcow2", from: "disk")

            let findings = try await bench.check(("vda", "disk.qcow2", "qcow2"))
            #expect(findings.map(\.place) == ["vda1", "vda2", "vda3", "vda4", "vda5"])
            #expect(findings.map(\.kind) == ["vfat", "ext4", "swap", "xfs", "empty"])
            #expect(findings.map(\.result) == [.ok, .ok, .ok, .ok, .notChecked])
            #expect(findings.map(\.frozen) == [nil, true, nil, true, nil])
            #expect(findings[1].detail == "frozen: journal empty; e2fsck: clean")
            #expect(findings[3].detail == "log clean: unmounted; xfs_repair -n: clean")
        }
    }

    @Test("a btrfs is checked, a ruined one fails")
    func btrfs() async throws {
        try await Bench.with { bench in
            try bench.blank("fs", megabytes: 128)
            try await bench.tool("mkfs.btrfs", "-q", bench.path("fs"))
            let whole = try await bench.check(("vda", "fs", "raw"))
            #expect(whole.first?.result == .ok)
            #expect(whole.first?.detail == "frozen: no log tree to replay; btrfs check: clean")
            // All but the first superblock.
            for megabyte in 1..<128 {
                try bench.write([UInt8](repeating: 0x5A, count: 1 << 20), to: "fs", at: UInt64(megabyte) << 20)
            }
            let ruined = try await bench.check(("vda", "fs", "raw"))
            #expect(ruined.first?.kind == "btrfs")
            #expect(ruined.first?.result == .failed)
        }
    }

    @Test("proof alone runs no checker")
    func proofOnly() async throws {
        try await Bench.with { bench in
            try await bench.ext4("fs", megabytes: 8)
            let findings = try await bench.check(("vda", "fs", "raw"), depth: .proof)
            #expect(findings.first?.result == .ok)
            #expect(findings.first?.detail == "frozen: journal empty")
        }
    }
}
