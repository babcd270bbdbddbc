// SPDX-License-Identifier: Apache-2.0

/// One guest on one hypervisor: what it is, the cut, and what libvirt keeps of it.
public protocol Hypervisor: Sendable {
    /// Looks at everything a plan needs, at the free space of these folders too, and through the probes of these hooks
    /// at the applications inside. Changes nothing.
    func observe(alsoFolders folders: [String], probing hooks: [HookChoice]) async throws(Failure) -> GuestFacts

    /// The same without a word to the guest. ``GuestFacts/sharedImages`` covers these images too.
    func look(for images: [String]) async throws(Failure) -> GuestFacts

    /// The disks alone, as QEMU and both definitions have them now.
    func disks() async throws(Failure) -> [DiskFacts]

    /// Switches all disks to their staged overlays in one QEMU transaction. A failure says nothing about whether the
    /// disks have moved: ask ``disks()``.
    func cut(_ disks: [MemberPlan.Disk], leaving others: [DiskTarget], named name: SnapshotName) async throws(Failure)

    /// As ``cut(_:leaving:named:)``, with RAM and processor state of the same moment in that file. The guest runs on while
    /// its memory is copied and stands still for the last of it and the cut. Interrupted, the disks stay where they are.
    func cut(
        _ order: CutOrder, withMemoryIn file: String, interruption: Interruption,
        progress: @escaping @Sendable (MemoryProgress) -> Void
    ) async throws(Failure)

    /// A snapshot inside each image of a guest that is off. libvirt makes it of all writable disks or of none.
    func cutInside(_ order: CutOrder) async throws(Failure)

    /// Takes such a snapshot out of the images again.
    func removeInside(_ name: SnapshotName) async throws(Failure)

    /// Asks the guest to shut down and returns when it is off and no QEMU has its images open, with libvirt's word on how
    /// it went. Interrupted it waits on, since what was asked for cannot be called back; interrupted twice it does not.
    func shutDown(within limit: Duration, interruption: Interruption) async throws(Failure) -> StopReason

    /// Starts a guest that is off; one that runs is fine.
    func start() async throws(Failure)

    /// Has the saved definition of a guest that is off name other images; all of these disks or none. Refuses a guest that
    /// is not off or stands elsewhere, and keeps it off meanwhile: nobody can open the images for writing.
    func point(_ moves: [Repointing]) async throws(Failure)

    /// Puts a saved definition back, of a guest that is off and stands on these images.
    func restore(_ definition: String, from images: [String]) async throws(Failure)

    /// The saved definition of this moment, for the snapshot's metadata and the manifest.
    func definition() async throws(Failure) -> String

    /// The saved definition with these disks on these images, and nothing else changed. Not kept anywhere.
    func definition(naming images: [DiskTarget: ImageLayer]) async throws(Failure) -> String

    /// Makes that the saved definition. What runs is not touched.
    func define(naming images: [DiskTarget: ImageLayer]) async throws(Failure)

    /// Has libvirt write down anew what it knows of the guest, for its next daemon: after a save that failed.
    func saveAgain() async throws(Failure)

    /// Makes the snapshot known to libvirt as the current one. Refuses a name that is taken.
    func register(_ registration: Registration) async throws(Failure)

    func unregister(_ name: SnapshotName) async throws(Failure)

    /// Merges layers into the one below, all disks in parallel, one merge a disk; a guest that writes to the top switches
    /// to the base.
    func merge(_ disks: [Merge], options: MergeOptions, progress: @escaping @Sendable (MergeProgress) -> Void)
        async throws(Failure)
}

/// What libvirt makes whole, its own metadata with it.
public struct CutOrder: Sendable {
    public var name: SnapshotName
    public var note: String?
    public var disks: [MemberPlan.Disk]
    public var others: [DiskTarget]
    /// Whether libvirt is to keep metadata of it.
    public var registers: Bool
}

/// How much of the guest's memory is written.
public struct MemoryProgress: Sendable, Hashable {
    public var done: UInt64
    public var total: UInt64

    public init(done: UInt64, total: UInt64) {
        self.done = done
        self.total = total
    }
}

/// Where a disk of a guest that is off stands, and where it is to stand.
public struct Repointing: Sendable, Hashable {
    public var target: DiskTarget
    public var from: String
    public var to: ImageLayer

    public init(target: DiskTarget, from: String, to: ImageLayer) {
        self.target = target
        self.from = from
        self.to = to
    }
}

public struct Registration: Sendable {
    public var name: SnapshotName
    public var note: String?
    public var createdAt: Timestamp
    public var definition: String
    public var parent: String?
    public var disks: [MemberPlan.Disk]
    public var others: [DiskTarget]
    /// Taken of a guest that was off.
    public var isAtRest = false
}

public struct Merge: Codable, Sendable, Hashable {
    public var target: DiskTarget
    /// The newest layer that goes.
    public var top: String
    /// The layer that stays.
    public var base: String
    /// The guest writes to the top.
    public var isHead: Bool
    /// It lies on a branch that a revert left; nil on the guest's own chain. Written down for `recover` alone.
    public var isOnBranch: Bool?

    public init(target: DiskTarget, top: String, base: String, isHead: Bool = true, isOnBranch: Bool? = nil) {
        self.target = target
        self.top = top
        self.base = base
        self.isHead = isHead
        self.isOnBranch = isOnBranch
    }

    private enum CodingKeys: CodingKey { case target, top, base, isHead, isOnBranch }

    /// Not as null: that would be a word of every report.
    public func encode(to encoder: any Encoder) throws {
        var members = encoder.container(keyedBy: CodingKeys.self)
        try members.encode(target, forKey: .target)
        try members.encode(top, forKey: .top)
        try members.encode(base, forKey: .base)
        try members.encode(isHead, forKey: .isHead)
        if let isOnBranch { try members.encode(isOnBranch, forKey: .isOnBranch) }
    }
}

public struct MergeOptions: Sendable {
    /// Bytes a second for each disk; 0 is unlimited.
    public var bandwidth: UInt64 = 0
    /// How long copying may take; at its end the overlays simply stay.
    public var limit: Duration?
    /// Asked for while it copies: the jobs are cancelled and the overlays stay.
    public var interruption: Interruption?

    public init(bandwidth: UInt64 = 0, limit: Duration? = nil, interruption: Interruption? = nil) {
        self.bandwidth = bandwidth
        self.limit = limit
        self.interruption = interruption
    }
}

public struct MergeProgress: Sendable, Hashable {
    public var target: DiskTarget
    public var done: UInt64
    public var total: UInt64
    public var isPivoted: Bool

    public init(target: DiskTarget, done: UInt64, total: UInt64, isPivoted: Bool) {
        self.target = target
        self.done = done
        self.total = total
        self.isPivoted = isPivoted
    }
}
