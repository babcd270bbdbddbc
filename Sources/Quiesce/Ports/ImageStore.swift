// SPDX-License-Identifier: Apache-2.0

/// The image files on this host.
public protocol ImageStore: Sendable {
    /// What would keep ``stage(_:)`` from making these overlays, as far as it can be seen without making them.
    func obstacles(to disks: [MemberPlan.Disk]) async -> [Finding]

    /// Makes every overlay, in parallel, before the window: new files only, the base's owner and mode, its exact virtual
    /// size and cluster size, an explicit backing format, synced to disk and read back. All of them or none.
    func stage(_ disks: [MemberPlan.Disk]) async throws(Failure)

    /// Removes overlays that no guest has ever written to. The caller has asked QEMU that it uses none of them.
    ///
    /// - Returns: files that could not be removed, or are no idle overlays.
    @discardableResult
    func discard(_ overlays: [String]) async -> [String]

    /// Removes layers whose content has been merged: renamed to `.stillpoint-trash-<run>` first, then unlinked. Refuses
    /// a file that another image names as its backing file.
    func remove(_ overlays: [String], of run: RunID) async throws(Failure)

    /// Removes an overlay that another process staged, in the same way: only one that lies on its base and that no guest
    /// has ever written to; others are refused. False if there is none. The caller has asked who uses it.
    func withdraw(_ disk: MemberPlan.Disk, of run: RunID) async throws(Failure) -> Bool

    /// The image and what it stands on, newest first, by the headers alone.
    func chain(of image: ImageLayer) async throws(Failure) -> [ImageLayer]

    /// What would keep ``reserve(_:beside:)`` from making this file.
    func obstacles(to file: String, beside image: String) async -> [Finding]

    /// Makes an empty file that the caller alone may read, under the rules of an overlay's path.
    func reserve(_ file: String, beside image: String) async throws(Failure)

    /// Has a file on the disk, and tells its bytes.
    func seal(_ file: String) async throws(Failure) -> Int64

    /// The whole of a small file, such as a guest's UEFI variables.
    func contents(of file: String) async throws(Failure) -> [UInt8]

    /// Replaces a small file's content: all of it or nothing, with the owner and mode it has.
    func overwrite(_ file: String, with bytes: [UInt8]) async throws(Failure)

    func sha256(of bytes: [UInt8]) -> String

    /// Whether the disk's image holds an internal snapshot of that name, as its header says.
    func check(_ disk: MemberReport.Disk, holds name: String) async throws(Failure)

    /// Whether every layer of the frozen image is whole, by its own tables, and shows as many bytes as the disk had. Reads
    /// all tables: seconds for a large image.
    func checkWhole(_ disk: MemberReport.Disk) async throws(Failure)

    /// Whether the overlay lies on this very image with this size, as its header says.
    func check(_ disk: MemberPlan.Disk) async throws(Failure)
}

/// Looks into the frozen images.
public protocol ImageVerifier: Sendable {
    func check(_ disks: [MemberReport.Disk], thoroughly: Bool) async -> [FilesystemProof]
}

/// What an image itself says of one filesystem on it.
public struct FilesystemProof: Codable, Sendable, Hashable {
    /// `vda1`, `vdb`, `vgdata/lvdata`.
    public var place: String
    public var targets: [String]
    public var kind: String
    public var uuid: String?
    /// Whether it was frozen when the cut was made; nil where the image cannot tell.
    public var frozen: Bool?
    public var check: Check

    public init(place: String, targets: [String], kind: String, uuid: String?, frozen: Bool?, check: Check) {
        self.place = place
        self.targets = targets
        self.kind = kind
        self.uuid = uuid
        self.frozen = frozen
        self.check = check
    }
}
