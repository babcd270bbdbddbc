// SPDX-License-Identifier: Apache-2.0

/// One guest on one hypervisor: what it is, the cut, and what libvirt keeps of it.
public protocol Hypervisor: Sendable {
    /// Looks at everything a plan needs, at the free space of these folders too, and through the probes of these hooks
    /// at the applications inside. Changes nothing.
    func observe(alsoFolders folders: [String], probing hooks: [HookChoice]) async throws(Failure) -> GuestFacts

    /// The disks alone, as QEMU and both definitions have them now.
    func disks() async throws(Failure) -> [DiskFacts]

    /// Switches all disks to their staged overlays in one QEMU transaction. A failure says nothing about whether the
    /// disks have moved: ask ``disks()``.
    func cut(_ disks: [MemberPlan.Disk], leaving others: [DiskTarget], named name: SnapshotName) async throws(Failure)

    /// The saved definition of this moment, for the snapshot's metadata and the manifest.
    func definition() async throws(Failure) -> String

    /// Makes the snapshot known to libvirt as the current one. Refuses a name that is taken.
    func register(_ registration: Registration) async throws(Failure)

    func unregister(_ name: SnapshotName) async throws(Failure)

    /// Merges the newest layer of each disk into the one below and switches back to it, all disks in parallel.
    func merge(_ disks: [Merge], options: MergeOptions, progress: @escaping @Sendable (MergeProgress) -> Void)
        async throws(Failure)
}

public struct Registration: Sendable {
    public var name: SnapshotName
    public var note: String?
    public var createdAt: Timestamp
    public var definition: String
    public var parent: String?
    public var disks: [MemberPlan.Disk]
    public var others: [DiskTarget]
}

public struct Merge: Codable, Sendable, Hashable {
    public var target: DiskTarget
    /// The layer the guest writes to now.
    public var top: String
    /// The layer that stays.
    public var base: String

    public init(target: DiskTarget, top: String, base: String) {
        self.target = target
        self.top = top
        self.base = base
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
