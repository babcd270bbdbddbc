// SPDX-License-Identifier: Apache-2.0

/// Merges a snapshot's overlays into the images below them while the guest runs, and removes what is left of it.
public struct CommitRun: Sendable {
    public struct Request: Sendable {
        /// The newest snapshot when nil.
        public var name: String?
        /// Down to one layer, whatever made the others.
        public var all = false
        public var disks: [DiskTarget] = []
        /// A use of the snapshot that this commit ends.
        public var ending: RunID?
        public var options = MergeOptions()

        public init() {}
    }

    let guest: GuestIdentity
    let hypervisor: any Hypervisor
    let images: any ImageStore
    let journal: any Journal
    let catalogue: any Catalogue
    let time: any Time
    let tell: @Sendable (RunEvent) -> Void

    public init(
        _ guest: GuestIdentity, hypervisor: any Hypervisor, images: any ImageStore, journal: any Journal,
        catalogue: any Catalogue, time: any Time, telling listener: @escaping @Sendable (RunEvent) -> Void
    ) {
        self.guest = guest
        self.hypervisor = hypervisor
        self.images = images
        self.journal = journal
        self.catalogue = catalogue
        self.time = time
        tell = listener
    }

    public func plan(_ request: Request) async throws(Failure) -> CommitPlan {
        let facts = try await hypervisor.observe(alsoFolders: [], probing: [])
        let kept = try await catalogue.entries(of: guest).filter { $0.fate == .kept }
        var snapshots: [(CatalogueEntry, MemberReport.Snapshot)] = []
        for entry in kept {
            let report = try await catalogue.manifest(of: entry.run)
            guard let snapshot = report.members.first(where: { $0.domain.uuid == guest.uuid })?.snapshot else {
                continue
            }
            snapshots.append((entry, snapshot))
        }
        let plan = try CommitPlan(facts, snapshots, request)
        let uses = try await catalogue.uses(of: guest).filter { $0.id != request.ending }
        if let failure = plan.refusal(for: uses, of: snapshots) { throw failure }
        return plan
    }

    public func execute(
        _ plan: CommitPlan, _ request: Request, as run: RunID = .random()
    ) async throws(Failure) -> CommitReport {
        let begin = time.now
        let startedAt = time.wall
        try await journal.open(run, for: guest, named: plan.title, at: startedAt)
        do throws(Failure) {
            try await journal.record(.merging(plan.merges), of: run, at: time.wall)
            try await hypervisor.merge(plan.merges, options: request.options) { [tell] in tell(.merging($0)) }
            try await journal.record(.removing(files: plan.merged), of: run, at: time.wall)
            try await images.remove(plan.merged, of: run)
            for entry in plan.finished {
                if let name = SnapshotName(entry.name), plan.registered.contains(entry.name) {
                    try await hypervisor.unregister(name)
                }
                try await catalogue.mark(entry.run, .committed)
            }
        } catch {
            try? await journal.close(run, .failed, at: time.wall)
            throw error
        }
        try await journal.close(run, .done, at: time.wall)
        return CommitReport(
            domain: guest, snapshots: plan.finished.map(\.name), disks: plan.merges, removed: plan.merged,
            tookMs: begin.duration(to: time.now).inMilliseconds, isDryRun: false)
    }
}

/// Which layers go where. Making one touches nothing.
public struct CommitPlan: Sendable {
    public var merges: [Merge] = []
    /// Overlays that nothing needs afterwards.
    public var merged: [String] = []
    /// Snapshots of which no overlay is left afterwards.
    public var finished: [CatalogueEntry] = []
    public var registered: Set<String> = []
    public var title = ""

    init(
        _ facts: GuestFacts, _ snapshots: [(CatalogueEntry, MemberReport.Snapshot)], _ request: CommitRun.Request
    ) throws(Failure) {
        let name = facts.guest.name
        if !request.all, let (entry, snapshot) = Self.wanted(snapshots, request), snapshot.kind == .inside {
            throw Failure(
                .refused, "\(entry.name) lies inside the images: there is no overlay to merge",
                hint: "virsh snapshot-delete \(name) \(entry.name)")
        }
        guard case .running = facts.power else {
            throw Failure(
                .refused, "\(name) does not run: its overlays are merged while it does", hint: "virsh start \(name)")
        }
        if let failure = facts.graphFindings.refusal?.failure { throw failure }
        if let failure = facts.stateFindings.refusal?.failure {
            // A commit that was interrupted left its job running: it is taken up again.
            let jobs = facts.disks.compactMap(\.blockJob)
            guard failure.status == .busy, facts.activeJob == nil, jobs.allSatisfy({ $0 == "activeCommit" }) else {
                throw failure
            }
        }
        let wanted = try Self.layers(facts, snapshots, request)
        for disk in facts.disks {
            guard let depth = wanted[disk.target], depth > 0, disk.liveChain.indices.contains(depth),
                let top = disk.activeImage
            else { continue }
            let base = disk.liveChain[depth]
            if let others = facts.sharedImages[base.path] {
                throw Failure(
                    .refused,
                    "\(disk.target) stands on \(base.path), which \(others.sorted().joined(separator: " ")) uses too: merging would change it under them"
                )
            }
            merges.append(Merge(target: disk.target, top: top.path, base: base.path))
            merged += disk.liveChain.prefix(depth).map(\.path)
        }
        guard !merges.isEmpty else {
            throw Failure(.refused, "\(name) has nothing to merge: other domains use the images its overlays lie on")
        }
        let gone = Set(merged)
        let left = Set(facts.disks.flatMap { $0.liveChain.map(\.path) }).subtracting(gone)
        finished = snapshots.filter { _, snapshot in
            snapshot.disks.contains { gone.contains($0.overlay) }
                && !snapshot.disks.contains { left.contains($0.overlay) }
        }.map(\.0)
        // A commit that was interrupted half-way has left overlays behind that are in no chain any more.
        let finishedRuns = Set(finished.map(\.run))
        let overlays = snapshots.filter { finishedRuns.contains($0.0.run) }.flatMap { $0.1.disks.map(\.overlay) }
        merged += overlays.filter { !gone.contains($0) && !left.contains($0) }
        // The memory of a moment that the disks have left behind.
        merged += snapshots.filter { finishedRuns.contains($0.0.run) }.compactMap { $0.1.memory?.file }
        registered = Set(facts.snapshots)
        title = finished.map(\.name).joined(separator: " ")
    }

    private static func wanted(
        _ snapshots: [(CatalogueEntry, MemberReport.Snapshot)], _ request: CommitRun.Request
    ) -> (CatalogueEntry, MemberReport.Snapshot)? {
        request.name.map { wish in snapshots.last { $0.0.name == wish } }
            ?? snapshots.max { $0.0.createdAt < $1.0.createdAt }
    }

    /// The first use of a snapshot one of whose images would change or go.
    func refusal(for uses: [SnapshotUse], of snapshots: [(CatalogueEntry, MemberReport.Snapshot)]) -> Failure? {
        let touched = Set(merges.map(\.base) + merged)
        let use = uses.first { use in
            use.isInTheWay
                && snapshots.contains { entry, snapshot in
                    entry.run == use.run
                        && snapshot.disks.contains { $0.chain.contains { touched.contains($0.path) } }
                }
        }
        return use?.refusal(toBe: "merged")
    }

    /// How many layers from the top go, for each disk.
    private static func layers(
        _ facts: GuestFacts, _ snapshots: [(CatalogueEntry, MemberReport.Snapshot)], _ request: CommitRun.Request
    ) throws(Failure) -> [DiskTarget: Int] {
        let name = facts.guest.name
        for target in request.disks where !facts.disks.contains(where: { $0.target == target }) {
            throw Failure(.usage, "\(name) has no disk \(target)")
        }
        func isWanted(_ target: DiskTarget) -> Bool { request.disks.isEmpty || request.disks.contains(target) }
        let chosen = facts.disks.filter { isWanted($0.target) && $0.liveChain.count > 1 }
        if request.all {
            guard !chosen.isEmpty else { throw Failure(.noSuchThing, "\(name) has no overlay to merge") }
            return chosen.reduce(into: [:]) { $0[$1.target] = Self.bottom($1, facts) }
        }
        guard let (entry, snapshot) = wanted(snapshots, request) else {
            throw Failure(
                .noSuchThing, "\(name) has no snapshot\(request.name.map { " named \($0)" } ?? "") to commit",
                hint: "stillpoint list \(name)")
        }
        var layers: [DiskTarget: Int] = [:]
        for disk in snapshot.disks where isWanted(disk.target) {
            guard let chain = facts.disks.first(where: { $0.target == disk.target })?.liveChain,
                let index = chain.firstIndex(where: { $0.path == disk.overlay })
            else { continue }
            guard index == 0 else {
                throw Failure(
                    .refused, "\(entry.name) is not the newest layer of \(disk.target): a newer one stands on it",
                    hint: "commit the newer ones first, or all at once with --all")
            }
            layers[disk.target] = 1
        }
        guard !layers.isEmpty else {
            throw Failure(
                .noSuchThing, "no disk of \(name) uses an overlay of \(entry.name) any more",
                hint: "stillpoint show \(name) \(entry.name)")
        }
        return layers
    }

    /// Down to one layer, but never into one that another domain uses too.
    private static func bottom(_ disk: DiskFacts, _ facts: GuestFacts) -> Int {
        let shared = disk.liveChain.firstIndex { facts.sharedImages[$0.path] != nil } ?? disk.liveChain.count
        return max(0, shared - 1)
    }
}

public struct CommitReport: Codable, Sendable {
    public var schema = "stillpoint.commit/v1"
    public var domain: GuestIdentity
    public var snapshots: [String]
    public var disks: [Merge]
    public var removed: [String]
    public var tookMs: Int64
    public var isDryRun: Bool
}
