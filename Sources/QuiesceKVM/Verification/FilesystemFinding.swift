// SPDX-License-Identifier: Apache-2.0

/// What the frozen images say about one place where a filesystem can be: a disk, a partition or a logical volume.
public struct FilesystemFinding: Sendable, Codable, Hashable {
    public enum Result: String, Sendable, Codable {
        /// The filesystem is whole, as far as the depth of the check can tell.
        case ok
        case failed
        /// Nothing is claimed; `detail` says why.
        case notChecked
    }

    /// `vda1`, `vdb`, or `vgdata/lvdata` for a logical volume.
    public var place: String
    /// The disks that carry it.
    public var targets: [String]
    /// As blkid names it: `ext4`, `xfs`, `btrfs`, `vfat`, `swap`, `LVM2_member`, …; `unknown`, or `empty` for an
    /// area with nothing at its start.
    public var kind: String
    /// UUID as blkid prints it.
    public var uuid: String?
    public var result: Result
    /// Whether the image proves that the filesystem was frozen, or not mounted, at the cut; nil where images cannot
    /// tell (XFS, vfat, no journal).
    public var frozen: Bool?
    /// One line, printable ASCII.
    public var detail: String

    public init(
        place: String, targets: [String], kind: String, uuid: String? = nil, result: Result, frozen: Bool? = nil,
        detail: String
    ) {
        self.place = place
        self.targets = targets
        self.kind = kind
        self.uuid = uuid
        self.result = result
        self.frozen = frozen
        self.detail = detail
    }
}
