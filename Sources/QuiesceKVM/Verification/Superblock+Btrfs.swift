// SPDX-License-Identifier: Apache-2.0

extension Superblock {
    /// btrfs (`fs/btrfs/ctree.h`, struct btrfs_super_block), first copy at 64 KiB.
    ///
    /// Freezing commits the transaction and leaves `log_root` 0; after a crash with fsynced writes it points to a log
    /// tree that waits for replay.
    static func btrfs(_ head: Block) -> Superblock? {
        let block = Block(head.slice(0x10000, 0x1000))
        guard block.has("_BHRfS_M", at: 0x40) else { return nil }
        let uuid = block.uuid(0x20)
        guard block.little(0x30, as: UInt64.self) == 0x10000 else {
            return Superblock("btrfs", uuid: uuid, .failed, "the superblock does not name its own place")
        }
        // Checksum type 0 is CRC-32C; the others (xxhash, SHA-256, BLAKE2) are left to the full check.
        if block.little(0xC4, as: UInt16.self) == 0,
            Checksum.castagnoli.of(block.slice(0x20, 0xFE0)) != block.little(0, as: UInt32.self)
        {
            return Superblock("btrfs", uuid: uuid, .failed, "the superblock fails its checksum")
        }
        let frozen = block.little(0x60, as: UInt64.self) == 0
        var detail =
            frozen
            ? "frozen: no log tree to replay" : "log_root is set: not frozen when the cut was made"
        let devices = block.little(0x88, as: UInt64.self)
        if devices > 1 { detail += "; one of \(devices) devices" }
        return Superblock(
            "btrfs", uuid: uuid, .ok, frozen: frozen, detail, checker: devices == 1 ? .btrfs : nil)
    }
}
