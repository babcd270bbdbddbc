// SPDX-License-Identifier: Apache-2.0

extension Superblock {
    /// XFS (`fs/xfs/libxfs/xfs_format.h`, struct xfs_dsb; big endian).
    ///
    /// XFS dirties its log on purpose while it freezes, so that the next mount clears unlinked inodes: neither a dirty log
    /// nor `xfs_repair -n`, which does not replay it, says anything about the freeze. A clean one was unmounted.
    static func xfs(_ head: Block, _ volume: some ByteSource) throws(ReadFailure) -> Superblock? {
        guard head.has("XFSB", at: 0) else { return nil }
        let uuid = head.uuid(32)
        let isVersion5 = head.big(100, as: UInt16.self) & 15 == 5
        let sector = Int(head.big(102, as: UInt16.self))
        var plain = head.slice(0, sector)
        if plain.count > 228 { plain.replaceSubrange(224..<228, with: [0, 0, 0, 0]) }
        if isVersion5 && Checksum.castagnoli.of(plain) != head.little(224, as: UInt32.self) {
            return Superblock("xfs", uuid: uuid, .failed, "the superblock fails its checksum")
        }
        if try XFSLog(head, in: volume)?.isClean() == true {
            return Superblock("xfs", uuid: uuid, .ok, frozen: true, "log clean: unmounted", checker: .xfsRepair)
        }
        return Superblock(
            "xfs", uuid: uuid, .notChecked, "XFS keeps its log dirty when frozen; replay needs an appliance")
    }

    /// FAT12, FAT16 and FAT32 by the type text of the boot sector, as blkid does.
    static func fat(_ head: Block) -> Superblock? {
        guard head[510] == 0x55, head[511] == 0xAA else { return nil }
        let isFAT32 = head.has("FAT32   ", at: 82)
        guard isFAT32 || head.has("FAT12   ", at: 54) || head.has("FAT16   ", at: 54) else { return nil }
        let serial = head.little(isFAT32 ? 67 : 39, as: UInt32.self)
        let high = hexadecimal(serial >> 16)
        let low = hexadecimal(serial & 0xFFFF)
        return Superblock("vfat", uuid: "\(high)-\(low)", .ok, "vfat cannot be frozen")
    }

    /// Swap space (`include/linux/swap.h`, union swap_header), for all page sizes up to 64 KiB.
    static func swap(_ head: Block) -> Superblock? {
        let pages = [0x1000, 0x2000, 0x4000, 0x8000, 0x10000]
        guard pages.contains(where: { head.has("SWAPSPACE2", at: $0 - 10) }) else { return nil }
        return Superblock("swap", uuid: head.uuid(0x40C), .ok, "swap area, nothing to restore")
    }

    /// LUKS 1 and 2 (cryptsetup's on-disk format, magic and UUID at the same place in both).
    static func luks(_ head: Block) -> Superblock? {
        guard head.has("LUKS", at: 0), head[4] == 0xBA, head[5] == 0xBE else { return nil }
        let text = head.slice(168, 40).prefix { $0 != 0 }
        let uuid = text.isEmpty ? nil : ToolResult.printable(text)
        return Superblock("crypto_LUKS", uuid: uuid, .notChecked, "encrypted: its contents cannot be read here")
    }

    /// A physical volume; its volume group is read in `VolumeGroups`.
    static func lvm(_ head: Block) -> Superblock? {
        guard let label = PhysicalVolumeLabel(head) else { return nil }
        return Superblock("LVM2_member", uuid: label.uuid, .notChecked, "physical volume of no volume group found here")
    }

    /// A member of a Linux md array: metadata 1.1 at the start, 1.2 at 4 KiB, 1.0 and 0.90 at the end.
    static func raid(_ head: Block, _ volume: some ByteSource) throws(ReadFailure) -> Superblock? {
        func member(_ block: Block, _ version: String, levelAt: Int, uuid: String?) -> Superblock? {
            guard block.little(0, as: UInt32.self) == 0xA92B_4EFC else { return nil }
            let level = Int32(bitPattern: block.little(levelAt, as: UInt32.self))
            return Superblock(
                "linux_raid_member", uuid: uuid, .notChecked,
                "member of an md array, raid level \(level), metadata \(version)")
        }
        for (offset, version) in [(0x1000, "1.2"), (0, "1.1")] {
            let block = Block(head.slice(offset, 256))
            if let found = member(block, version, levelAt: 72, uuid: block.uuid(16)) { return found }
        }
        guard volume.size >= 0x20000 else { return nil }
        let sectors = volume.size / 512
        let newer = try volume.block(at: ((sectors - 16) & ~7) * 512, count: 256)
        if let found = member(newer, "1.0", levelAt: 72, uuid: newer.uuid(16)) { return found }
        let older = try volume.block(at: (volume.size & ~0xFFFF) - 0x10000, count: 256)
        return member(older, "0.90", levelAt: 28, uuid: nil)
    }

    /// A ZFS pool member: at least four uberblocks in the first label, in either byte order, as blkid asks.
    static func zfs(_ volume: some ByteSource) throws(ReadFailure) -> Superblock? {
        let ring = try volume.block(at: 0x20000, count: 0x20000)
        let magic: UInt64 = 0x00BA_B10C
        let blocks = stride(from: 0, to: 0x20000, by: 1024).filter {
            let word = ring.little($0, as: UInt64.self)
            return word == magic || word.byteSwapped == magic
        }
        guard blocks.count >= 4 else { return nil }
        return Superblock("zfs_member", .notChecked, "ZFS: nothing on this host can check it")
    }

    private static func hexadecimal(_ value: UInt32) -> String {
        let digits = String(value, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}
