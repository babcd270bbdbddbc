// SPDX-License-Identifier: Apache-2.0

import Glibc
import SystemPackage

/// The tables of a new qcow2 image that say where its data lies (QEMU's `docs/interop/qcow2.txt`).
///
/// `qemu-img create` makes the first level alone, and QEMU each table of the second when the first write comes to its
/// part of the disk: three flushes one after the other. A thaw writes to every filesystem, so all of this would be
/// waited for at the end of the window; what remains then are the two flushes of the data's own cluster.
enum MappingTables {
    /// A commit reads every table there is: more than this would be felt.
    private static let most = 16 << 20

    /// Fills up the second level, empty: what is read is the backing file as before. Leaves an image alone that is not
    /// laid out as `qemu-img create` does it.
    static func prepare(in file: OpenFile) throws(Errno) {
        let header = Block(try file.read(104))
        let bits = header.big(20, as: UInt32.self)
        // Reference counts of 16 bits, 1 << 4.
        guard header.big(4, as: UInt32.self) == 3, header.big(96, as: UInt32.self) == 4, (9...21).contains(bits),
            let firstLevel = Int(exactly: header.big(40, as: UInt64.self)),
            let countTable = Int(exactly: header.big(48, as: UInt64.self)),
            let counts = Int(exactly: Block(try file.read(8, at: countTable)).big(0, as: UInt64.self)), counts > 0
        else { return }
        let cluster = 1 << Int(bits)
        let next = Int(clamping: (try file.status().size - 1) / Int64(cluster) + 1)
        var block = try file.read(cluster, at: counts)
        let entries = min(
            Int(clamping: header.big(36, as: UInt32.self)), most / cluster, cluster / 2 - next)
        guard entries > 0, block.count == cluster, block[(2 * next)...].allSatisfy({ $0 == 0 }) else { return }
        var pointers: [UInt8] = []
        for index in next..<(next + entries) {
            block[2 * index + 1] = 1
            // With the flag of a cluster that has one user.
            let pointer = UInt64(index * cluster) | 1 << 63
            pointers += (0..<8).map { UInt8(truncatingIfNeeded: pointer >> (56 - 8 * UInt64($0))) }
        }
        try posix { ftruncate(file.descriptor, off_t((next + entries) * cluster)) }
        try file.write(block, at: counts)
        try file.write(pointers, at: firstLevel)
    }
}
