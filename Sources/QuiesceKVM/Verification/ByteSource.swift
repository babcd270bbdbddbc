// SPDX-License-Identifier: Apache-2.0

/// Something with a size that can be read by offset: a disk, or a volume laid out on disks.
protocol ByteSource: Sendable {
    /// In bytes, less than 2^63.
    var size: UInt64 { get }
    /// The bytes at `offset`; fewer than `count` only at the end.
    func read(at offset: UInt64, count: Int) throws(ReadFailure) -> [UInt8]
}

extension ByteSource {
    func block(at offset: UInt64, count: Int) throws(ReadFailure) -> Block {
        Block(try read(at: offset, count: count))
    }

    /// How many of `count` bytes at `offset` exist.
    func available(at offset: UInt64, count: Int) -> Int {
        guard offset < size, count > 0 else { return 0 }
        return Int(min(UInt64(count), size - offset))
    }
}

/// A disk could not be read, for a reason that lies on the host and says nothing about the guest.
struct ReadFailure: Error, CustomStringConvertible {
    var reason: String
    var description: String { reason }
}
