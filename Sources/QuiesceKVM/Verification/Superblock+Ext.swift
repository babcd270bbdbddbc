// SPDX-License-Identifier: Apache-2.0

extension Superblock {
    /// ext2, ext3 and ext4 (`fs/ext4/ext4.h`, struct ext4_super_block).
    ///
    /// Freezing empties the journal and takes the feature `needs_recovery` (0x4) out of the superblock on disk; a
    /// mounted filesystem has it. So the image itself proves the freeze.
    static func ext(_ head: Block, volumeSize: UInt64) -> Superblock? {
        let block = Block(head.slice(1024, 1024))
        guard block.little(0x38, as: UInt16.self) == 0xEF53 else { return nil }
        let features = ExtFeatures(block)
        let uuid = block.uuid(0x68)
        // A stale or foreign superblock fails here; without a checksum (ext3, old ext4) the size must do.
        guard block.little(0x18, as: UInt32.self) <= 6, block.little(0x28, as: UInt32.self) > 0 else { return nil }
        func broken(_ why: String) -> Superblock { Superblock(features.kind, uuid: uuid, .failed, why) }
        if features.hasChecksums, Checksum.ext4.of(block.slice(0, 0x3FC)) != block.little(0x3FC, as: UInt32.self) {
            return broken("the superblock fails its checksum")
        }
        let blockSize = UInt64(1024) << block.little(0x18, as: UInt32.self)
        let high = features.is64Bit ? block.little(0x150, as: UInt32.self) : 0
        let count = UInt64(high) << 32 | UInt64(block.little(0x04, as: UInt32.self))
        guard count <= volumeSize / blockSize else {
            return broken("the filesystem is larger than the volume that holds it")
        }
        if features.isJournalDevice {
            return Superblock("jbd", uuid: uuid, .notChecked, "journal of a filesystem on another device")
        }
        let frozen = features.hasJournal ? !features.needsRecovery : nil
        if block.little(0x3A, as: UInt16.self) & 2 != 0 {
            return Superblock(
                features.kind, uuid: uuid, .failed, frozen: frozen, "the guest's kernel has recorded errors in it",
                checker: .e2fsck)
        }
        let detail =
            switch frozen {
            case true?: "frozen: journal empty"
            case false?: "needs_recovery is set: not frozen when the cut was made"
            case nil: "no journal: whether it was frozen cannot be told"
            }
        if features.hasJournal && block.little(0xE0, as: UInt32.self) == 0 {
            return Superblock(
                features.kind, uuid: uuid, .ok, frozen: frozen, detail + "; its journal is on another device")
        }
        return Superblock(features.kind, uuid: uuid, .ok, frozen: frozen, detail, checker: .e2fsck)
    }
}

private struct ExtFeatures {
    let hasJournal: Bool
    let needsRecovery: Bool
    let isJournalDevice: Bool
    let is64Bit: Bool
    let hasChecksums: Bool
    let kind: String

    init(_ block: Block) {
        let compatible = block.little(0x5C, as: UInt32.self)
        let incompatible = block.little(0x60, as: UInt32.self)
        let readOnly = block.little(0x64, as: UInt32.self)
        hasJournal = compatible & 0x4 != 0
        needsRecovery = incompatible & 0x4 != 0
        isJournalDevice = incompatible & 0x8 != 0
        is64Bit = incompatible & 0x80 != 0
        hasChecksums = readOnly & 0x400 != 0
        // blkid's rule: anything that the ext3 driver did not know makes it ext4.
        let beyondExt3 = incompatible & ~0x16 != 0 || readOnly & ~0x7 != 0
        kind = beyondExt3 ? "ext4" : hasJournal ? "ext3" : "ext2"
    }
}
