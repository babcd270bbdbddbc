// SPDX-License-Identifier: Apache-2.0

/// Starts throw-away clones of one guest on this host: from overlays on the frozen images, without a network, under a name
/// and UUID of their own.
public protocol CloneHost: Sendable {
    /// Removes what the clones of processes that are gone have left; their names. One that was kept on purpose stays while
    /// it runs.
    @discardableResult
    func sweep() async throws(Failure) -> [String]

    /// What a clone would be made of. Touches nothing.
    func plan(_ snapshot: MemberReport.Snapshot, of run: RunID, halvingMemory: Bool) async throws(Failure) -> ClonePlan

    /// Written down before anything of it is there; a failure leaves nothing.
    ///
    /// - Parameter keeping: it may outlive this process.
    func start(_ plan: ClonePlan, keeping: Bool) async throws(Failure) -> any Clone
}

public struct ClonePlan: Sendable {
    /// Of the clone's own, which also names its folder.
    public var id: RunID
    public var guest: GuestIdentity
    public var name: String
    public var uuid: String
    public var folder: String
    public var disks: [MemberReport.Disk]
    /// What of the guest's definition the clone has not, in words.
    public var dropped: [String]
    public var memoryKiB: Int64
    public var definition: String
    /// The UEFI variables it starts with.
    public var nvram: String?

    public init(
        id: RunID, guest: GuestIdentity, name: String, uuid: String, folder: String, disks: [MemberReport.Disk],
        dropped: [String], memoryKiB: Int64, definition: String, nvram: String? = nil
    ) {
        self.id = id
        self.guest = guest
        self.name = name
        self.uuid = uuid
        self.folder = folder
        self.disks = disks
        self.dropped = dropped
        self.memoryKiB = memoryKiB
        self.definition = definition
        self.nvram = nvram
    }
}

/// A clone that was started.
public protocol Clone: Sendable {
    func state() async -> CloneState

    /// Whether its agent does.
    func answers() async -> Bool

    /// How far its system is with starting what it wants to start.
    func start() async -> CloneStart

    /// What the probes of these hooks say in it, absent ones left out.
    func applications(_ choices: [HookChoice]) async -> [ApplicationFacts]

    func run(_ call: HookCall, within limit: Duration) async -> HookResult

    /// The last lines on its first console, fit to be printed.
    func console() async -> [String]

    /// Ends it and leaves nothing of it.
    func remove() async throws(Failure)

    /// Leaves it running until somebody ends it.
    func keep() async throws(Failure)
}

public enum CloneStart: Sendable, Hashable {
    case settled
    /// What it is about, as it names it.
    case underWay([String])
    /// It cannot be asked.
    case unknown
}

public enum CloneState: Sendable, Hashable {
    case running
    /// By itself: what it was started from is to blame.
    case ended(String)
    /// The host cannot go on with it.
    case stuck(String)
}
