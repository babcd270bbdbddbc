// SPDX-License-Identifier: Apache-2.0

/// The log of an XFS (`fs/xfs/libxfs/xfs_log_format.h`; big endian, in blocks of 512 bytes, each of which begins with the
/// number of the cycle that wrote it). Unmounting writes one record of its own, and nothing after it: then nothing waits
/// to be replayed. Freezing leaves other records last.
struct XFSLog<Source: ByteSource> {
    private let volume: Source
    private let start: UInt64
    private let blocks: UInt64

    private static var block: UInt64 { 512 }
    private static var magic: UInt32 { 0xFEED_BABE }
    /// A record is at most 256 KiB, its header in front.
    private static var longestRecord: UInt64 { 520 }
    private static var unmounts: UInt8 { 0x20 }

    /// Nil where the superblock places the log on another device, or outside the volume.
    init?(_ superblock: Block, in volume: Source) {
        let size = UInt64(superblock.big(4, as: UInt32.self))
        let place = superblock.big(48, as: UInt64.self)
        let groupBlocks = UInt64(superblock.big(84, as: UInt32.self))
        let groupBits = UInt64(superblock[124])
        guard place != 0, (512...65536).contains(size), (1...31).contains(groupBits) else { return nil }
        let inGroup = place & (1 << groupBits &- 1)
        let (groups, far) = (place >> groupBits).multipliedReportingOverflow(by: groupBlocks)
        let (first, farther) = groups.addingReportingOverflow(inGroup)
        let (start, farthest) = first.multipliedReportingOverflow(by: size)
        let length = UInt64(superblock.big(96, as: UInt32.self)) * size
        guard !far, !farther, !farthest, length >= Self.block, start < volume.size, length <= volume.size - start else {
            return nil
        }
        self.volume = volume
        self.start = start
        blocks = length / Self.block
    }

    /// Whether the last thing in it is an unmount.
    func isClean() throws(ReadFailure) -> Bool {
        let head = try self.head()
        for back in 1...min(Self.longestRecord, blocks) {
            let place = (head + blocks - back) % blocks
            let header = try read(place)
            guard header.big(0, as: UInt32.self) == Self.magic else { continue }
            // Version 2 headers take one block for each 32 KiB that a record may have.
            let size = UInt64(header.big(320, as: UInt32.self))
            let headerBlocks = header.big(8, as: UInt32.self) & 2 == 0 ? 1 : max(1, (size + 32767) / 32768)
            let data = (UInt64(header.big(12, as: UInt32.self)) + Self.block - 1) / Self.block
            let operation = try read((place + headerBlocks) % blocks)
            return back == headerBlocks + data && header.big(40, as: UInt32.self) == 1
                && operation[9] & Self.unmounts != 0
        }
        return false
    }

    /// Where the next record would go: the first block that the last cycle, or none, has written.
    private func head() throws(ReadFailure) -> UInt64 {
        let last = try cycle(blocks - 1)
        if try cycle(0) == last { return 0 }
        var (written, old) = (UInt64(0), blocks - 1)
        while old - written > 1 {
            let middle = written + (old - written) / 2
            if try cycle(middle) == last { old = middle } else { written = middle }
        }
        return old
    }

    private func cycle(_ place: UInt64) throws(ReadFailure) -> UInt32 {
        let block = try read(place)
        let word = block.big(0, as: UInt32.self)
        return word == Self.magic ? block.big(4, as: UInt32.self) : word
    }

    private func read(_ place: UInt64) throws(ReadFailure) -> Block {
        try volume.block(at: start + place * Self.block, count: Int(Self.block))
    }
}
