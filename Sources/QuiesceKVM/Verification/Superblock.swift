// SPDX-License-Identifier: Apache-2.0

/// What the first blocks of a volume say it is, and whether it was frozen. Pure functions over bytes, one file for each
/// family of formats.
struct Superblock: Equatable {
    /// The host program that can tell whether it is whole.
    enum Checker: Equatable { case e2fsck, btrfs, xfsRepair }

    var kind: String
    var uuid: String?
    var result: FilesystemFinding.Result
    var frozen: Bool?
    var detail: String
    var checker: Checker?

    init(
        _ kind: String, uuid: String? = nil, _ result: FilesystemFinding.Result, frozen: Bool? = nil, _ detail: String,
        checker: Checker? = nil
    ) {
        self.kind = kind
        self.uuid = uuid
        self.result = result
        self.frozen = frozen
        self.detail = detail
        self.checker = checker
    }

    /// Bytes from the start that the formats here need; ZFS and old md are looked for elsewhere.
    static let headSize = 0x11000

    /// Identifies `volume`. What holds other things (LVM, md, LUKS) comes before filesystems, since one of those may
    /// shine through it.
    static func identify(_ volume: some ByteSource) throws(ReadFailure) -> Superblock {
        let head = try volume.block(at: 0, count: headSize)
        if let found = luks(head) ?? lvm(head) { return found }
        if let found = try raid(head, volume) { return found }
        let filesystems = [try xfs(head, volume), btrfs(head), ext(head, volumeSize: volume.size), swap(head)]
            .compactMap(\.self)
        if filesystems.count > 1 {
            let kinds = filesystems.map(\.kind).joined(separator: " and ")
            return Superblock("unknown", .notChecked, "ambiguous: carries the signatures of \(kinds)")
        }
        if let found = filesystems.first ?? fat(head) { return found }
        if let found = try zfs(volume) { return found }
        return head.isZero(0, headSize)
            ? Superblock("empty", .notChecked, "no filesystem found, its first 68 KiB are zero")
            : Superblock("data", .notChecked, "no filesystem found")
    }
}
