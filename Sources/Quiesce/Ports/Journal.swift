// SPDX-License-Identifier: Apache-2.0

/// What a run is about to do, written and synced before it does it. Never written inside the window.
public protocol Journal: Sendable {
    func open(_ run: RunID, for guest: GuestIdentity, named name: String, at time: Timestamp) async throws(Failure)
    func record(_ step: JournalStep, of run: RunID, at time: Timestamp) async throws(Failure)
    func close(_ run: RunID, _ ending: JournalEnding, at time: Timestamp) async throws(Failure)
    /// Runs that were opened and never closed: their process died.
    func unfinished() async throws(Failure) -> [UnfinishedRun]
}

extension Journal {
    /// One guest's.
    public func unfinished(of guest: GuestIdentity) async throws(Failure) -> [UnfinishedRun] {
        try await unfinished().filter { $0.guest.uuid == guest.uuid }
    }
}

public enum JournalStep: Codable, Sendable, Hashable {
    case staging(overlays: [String], intent: RunIntent? = nil)
    /// The hooks whose `prepare` follows, and which have to be put down.
    case preparing(hooks: [PreparedHook])
    /// The guest confirmed that these let go, by label.
    case released(hooks: [String])
    /// Freeze, cut and thaw follow at once: one entry before the window covers all three.
    case window(mountpoints: [String], overlays: [String])
    case windowClosed(cut: Bool, thawed: Bool, proof: WindowProof? = nil)
    case registering(name: String)
    case merging([Merge])
    case removing(files: [String])
    /// `until`: when the guest thaws by itself.
    case freezingByHand(mountpoints: [String], until: Timestamp? = nil)
    /// A later process has the guest's word that nothing is frozen any more.
    case thawed
    /// The guest ran and is shut down for its cut; it is to run again, whatever becomes of us.
    case shuttingDown
    case startedAgain
    /// The guest is stopped and its saved definition changed to these images, in one step of libvirt's: whichever it
    /// names, it starts. The definition from before is in the run's folder.
    case reverting(to: String, images: [String], wasActive: Bool)
}

public enum JournalEnding: String, Codable, Sendable { case done, undone, failed }

/// What a later process cannot find on the disks: enough to finish a run that has lost its own.
public struct RunIntent: Codable, Sendable, Hashable {
    var disks: [MemberPlan.Disk]
    var leftOut: [MemberPlan.LeftOut]
    /// Disks with a filesystem that it freezes.
    var frozen: [DiskTarget]
    var asked: Consistency
    var note: String?
    /// libvirt's current snapshot before it.
    var parent: String?
    var registers: Bool
    var isAtRest: Bool
    var versions: Versions
    var starter: RunReport.Starter
}

/// What the window proved, written after the thaw.
public struct WindowProof: Codable, Sendable, Hashable {
    var cutAt: Timestamp?
    /// Judged without the release of the applications, which was still to come.
    var verdict: Verdict
    var freeze: MemberReport.Freeze?
}

/// What a later process needs to put a hook down.
public struct PreparedHook: Codable, Sendable, Hashable {
    public var name: String
    public var instance: String?
    public var parameters: [String: String]

    init(_ application: MemberPlan.Application) {
        name = application.choice.hook.name
        instance = application.facts.instance
        parameters = application.choice.parameters
    }

    /// As ``JournalStep/released(hooks:)`` has it.
    var label: String { instance.map { "\(name) \($0)" } ?? name }
}

public struct UnfinishedRun: Sendable, Hashable {
    public var run: RunID
    public var guest: GuestIdentity
    public var name: String
    public var startedAt: Timestamp
    /// Oldest first.
    public var steps: [JournalStep]
    public var lastStep: JournalStep? { steps.last }

    public init(run: RunID, guest: GuestIdentity, name: String, startedAt: Timestamp, steps: [JournalStep]) {
        self.run = run
        self.guest = guest
        self.name = name
        self.startedAt = startedAt
        self.steps = steps
    }
}

/// The snapshots we made and what became of them.
public protocol Catalogue: Sendable {
    /// Keeps the manifest in the state folder and beside the overlays.
    func add(_ report: RunReport, definition: String, artifacts: [HookReply.Artifact]) async throws(Failure)
    func entries(of guest: GuestIdentity?) async throws(Failure) -> [CatalogueEntry]
    func manifest(of run: RunID) async throws(Failure) -> RunReport
    func mark(_ run: RunID, _ fate: CatalogueEntry.Fate) async throws(Failure)
    /// Who reads this guest's frozen images now, or is going to; all guests' for nil.
    func uses(of guest: GuestIdentity?) async throws(Failure) -> [SnapshotUse]
}

public struct CatalogueEntry: Sendable, Hashable {
    /// Kept while its layers are, `merging` once its frozen images may have been written to; the others are history.
    public enum Fate: String, Codable, Sendable {
        case kept, merging, committed, undone, abandoned, removed

        /// Its layers are there; else it is history.
        public var isPresent: Bool { [.kept, .merging, .abandoned].contains(self) }
    }

    public var run: RunID
    public var guest: GuestIdentity
    public var name: String
    public var createdAt: Timestamp
    public var consistency: Consistency
    public var fate: Fate

    public init(
        run: RunID, guest: GuestIdentity, name: String, createdAt: Timestamp, consistency: Consistency, fate: Fate
    ) {
        self.run = run
        self.guest = guest
        self.name = name
        self.createdAt = createdAt
        self.consistency = consistency
        self.fate = fate
    }
}
