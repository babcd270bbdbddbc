// SPDX-License-Identifier: Apache-2.0

/// A physical volume that was found on the given disks.
struct PhysicalVolume {
    let place: String
    let targets: [String]
    let volume: Volume
    let label: PhysicalVolumeLabel

    /// Of metadata that is read for all given disks together, in bytes: a volume group's has some KiB, and a guest can have as many
    /// physical volumes as it likes.
    static let mostText = 16 << 20

    /// The volume groups that its metadata areas describe: none, or the same one in each.
    func groups(within budget: inout Int) throws(ReadFailure) -> [VolumeGroup] {
        var groups: [VolumeGroup] = []
        for area in label.areas.prefix(4) {
            guard let text = try text(in: area, atMost: budget) else { continue }
            budget -= text.count
            guard let root = MetadataText.parse(text) else { continue }
            if let group = VolumeGroup(root) { groups.append(group) }
        }
        return groups
    }

    /// Where `length` bytes at `start` lie on a disk; nil if they are not all within the physical volume.
    func column(at start: UInt64, length: UInt64) -> Volume.Column? {
        let (end, overflow) = start.addingReportingOverflow(length)
        guard !overflow, end <= volume.size, let piece = volume.piece(at: start, upTo: length), piece.length == length
        else { return nil }
        return Volume.Column(disk: piece.disk, offset: piece.offset)
    }

    /// The committed text of one metadata area (`lib/format_text/layout.h`, struct mda_header and raw_locn): a ring that
    /// begins after the 512 bytes of its header.
    private func text(in area: PhysicalVolumeLabel.Area, atMost budget: Int) throws(ReadFailure) -> [UInt8]? {
        let headerSize: UInt64 = 512
        let header = try volume.block(at: area.offset, count: Int(headerSize))
        let size = header.little(32, as: UInt64.self)
        let offset = header.little(40, as: UInt64.self)
        let length = header.little(48, as: UInt64.self)
        let isIgnored = header.little(60, as: UInt32.self) & 1 != 0
        guard header.has(" LVM2 x[5A%r0N*>", at: 4), header.little(24, as: UInt64.self) == area.offset,
            Checksum.lvm.of(header.slice(4, 508)) == header.little(0, as: UInt32.self), !isIgnored,
            area.offset < volume.size, size <= volume.size - area.offset, size > headerSize,
            (headerSize..<size).contains(offset), (1...UInt64(MetadataText.sizeLimit)).contains(length),
            length <= budget,
            length <= size - headerSize
        else { return nil }
        let straight = min(length, size - offset)
        let text =
            try volume.read(at: area.offset + offset, count: Int(straight))
            + volume.read(at: area.offset + headerSize, count: Int(length - straight))
        return Checksum.lvm.of(text) == header.little(56, as: UInt32.self) ? text : nil
    }
}
