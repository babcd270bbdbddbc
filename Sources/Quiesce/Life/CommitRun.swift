// SPDX-License-Identifier: Apache-2.0

/// Merges snapshots' layers into the images below them and removes what is left of them: `commit`, `delete` and `prune`.
/// QEMU does it while the guest runs; a guest that is off, and what a revert left behind, is merged by `qemu-img`.
public struct CommitRun: Sendable {
    public struct Request: Sendable {
        public enum Command: String, Sendable { case commit, delete, prune }

        public var command = Command.commit
        /// The newest snapshot when nil.
        public var name: String?
        /// Down to one layer, whatever made the others.
        public var all = false
        /// With all that stands on it.
        public var children = false
        public var disks: [DiskTarget] = []
        public var rule: PruneRule?
        /// These layers and nothing else, of merges that were begun.
        public var groups: [LayerGroup] = []
        /// These branches that reverts left go, and nothing is merged.
        public var branches: Set<RunID> = []
        /// A use of the snapshot that this ends.
        public var ending: RunID?
        public var options = MergeOptions()

        public init(_ command: Command = .commit) { self.command = command }
    }

    /// Layers that go, newest first, and the image that they go into.
    public struct LayerGroup: Sendable, Hashable {
        public var layers: [String]
        public var base: String
        /// They have gone into it: what else lies on them has only to be laid on it.
        public var isMerged: Bool

        public init(layers: [String], base: String, isMerged: Bool) {
            self.layers = layers
            self.base = base
            self.isMerged = isMerged
        }
    }

    let guest: GuestIdentity
    let ports: LifePorts
    let tell: @Sendable (RunEvent) -> Void

    public init(
        _ guest: GuestIdentity, through ports: LifePorts, telling listener: @escaping @Sendable (RunEvent) -> Void
    ) {
        self.guest = guest
        self.ports = ports
        tell = listener
    }

    public func plan(_ request: Request) async throws(Failure) -> CommitPlan {
        let facts = try await ports.hypervisor.observe(alsoFolders: [], probing: [])
        let lineage = try await ports.lineage(facts)
        let uses = try await ports.catalogue.uses(of: guest).filter { $0.isInTheWay && $0.id != request.ending }
        let plan = try CommitPlan(request, facts, lineage, uses, at: ports.time.wall)
        try await refuseWithoutRoom(plan)
        return plan
    }

    public func execute(
        _ plan: CommitPlan, _ request: Request, as run: RunID = .random()
    ) async throws(Failure) -> CommitReport {
        guard plan.steps.isEmpty || plan.droppedBranches.isEmpty else {
            // Before anything is written to that it lies on, a branch is gone: a merge may stop half-way, and one could go back.
            var first = Request(request.command)
            first.branches = Set(plan.droppedBranches.map(\.run))
            let dropped = try await execute(try await self.plan(first), first)
            return try await execute(try await self.plan(request), request, as: run).after(dropped)
        }
        // From the first mark on the snapshot is none any more until its merge is ended.
        try request.options.interruption?.check()
        let begin = ports.time.now
        var isHalfWay = false
        try await ports.journal.open(run, for: guest, named: plan.title, at: ports.time.wall)
        do throws(Failure) {
            if !plan.steps.isEmpty {
                try await ports.journal.record(.merging(plan.steps.map(\.merge)), of: run, at: ports.time.wall)
                for entry in plan.written { try await ports.catalogue.mark(entry.run, .merging) }
                try await mergeLive(plan, request.options)
                try await mergeIdle(plan, request.options)
                isHalfWay = plan.steps.contains { !$0.heirs.isEmpty }
                for step in plan.steps {
                    for heir in step.heirs { try await ports.layers.rest(heir, on: step.base) }
                }
                try await redefine(plan)
            }
            try await settle(plan)
            if !plan.removed.isEmpty {
                try await ports.journal.record(.removing(files: plan.removed), of: run, at: ports.time.wall)
                isHalfWay = true
                try await ports.images.remove(plan.removed, of: run)
            }
            try await forget(plan)
            // Other disks of theirs are as they were.
            for entry in plan.written where !plan.finished.contains(where: { $0.entry?.run == entry.run }) {
                try await ports.catalogue.mark(entry.run, entry.fate)
            }
        } catch {
            // Half-way it stays open, for `recover` to go on with.
            guard !isHalfWay, await hasMovedNothing(plan) else {
                throw Failure(error.status, error.message, hint: error.hint ?? "stillpoint recover \(guest.name)")
            }
            try? await ports.journal.close(run, .failed, at: ports.time.wall)
            throw error
        }
        try await ports.journal.close(run, .done, at: ports.time.wall)
        return plan.report(request.command, took: begin.duration(to: ports.time.now))
    }

    /// False where it cannot be found out. Layers that QEMU does not hold are merged whole or not at all.
    private func hasMovedNothing(_ plan: CommitPlan) async -> Bool {
        let merges = plan.steps.compactMap(\.liveMerge)
        if merges.isEmpty { return true }
        guard let disks = try? await ports.hypervisor.disks() else { return false }
        return merges.allSatisfy { merge in
            disks.contains { disk in
                disk.target == merge.target && disk.blockJob == nil && disk.liveChain.contains { $0.path == merge.top }
            }
        }
    }

    /// One job a disk at a time, all disks at once.
    private func mergeLive(_ plan: CommitPlan, _ options: MergeOptions) async throws(Failure) {
        var waiting = plan.steps.compactMap(\.liveMerge)
        while !waiting.isEmpty {
            var round: [Merge] = []
            waiting.removeAll { merge in
                guard !round.contains(where: { $0.target == merge.target }) else { return false }
                round.append(merge)
                return true
            }
            try await ports.hypervisor.merge(round, options: options) { [tell] in tell(.merging($0)) }
        }
    }

    private func mergeIdle(_ plan: CommitPlan, _ options: MergeOptions) async throws(Failure) {
        let begin = ports.time.now
        for step in plan.steps where step.liveMerge == nil && step.place != .merged {
            try options.interruption?.check()
            var left = options
            left.limit = options.limit.map { max(.zero, $0 - begin.duration(to: ports.time.now)) }
            let total = UInt64(clamping: try await ports.layers.virtualSize(of: step.top))
            let report = { @Sendable [tell] (part: Double, isOver: Bool) in
                let done = UInt64(Double(total) * part)
                tell(.merging(MergeProgress(target: step.target, done: done, total: total, isPivoted: isOver)))
            }
            report(0, false)
            try await ports.layers.merge(step.top, into: step.base, options: left) { report($0, false) }
            report(1, true)
        }
    }

    /// The saved definition names the newest layers and nothing below: libvirt keeps a `<backingStore>` in it from the cut
    /// on, does not follow a merge with it, and at the next start believes it over the images (measured on 9.0).
    private func redefine(_ plan: CommitPlan) async throws(Failure) {
        let steps = plan.steps.filter { ![.abandoned, .merged].contains($0.place) }
        let disks = try await ports.hypervisor.disks()
        var images: [DiskTarget: ImageLayer] = [:]
        for step in steps {
            guard let disk = disks.first(where: { $0.target == step.target }), disk.savedImage != nil else { continue }
            if step.place == .off(isHead: true) {
                images[step.target] = step.base
            } else if images[step.target] == nil {
                images[step.target] = disk.activeImage
            }
        }
        guard !images.isEmpty else { return }
        try await ports.life.define(try await ports.hypervisor.definition(), with: images)
        for disk in try await ports.hypervisor.disks() {
            guard let image = images[disk.target] else { continue }
            if let quarrel = disk.disagreement { throw Failure(.quarantined, quarrel) }
            guard disk.activeImage == image else {
                throw Failure(.quarantined, "\(disk.target) is not on \(image.path) after the merge")
            }
        }
    }

    /// What names the merged layers is told before they go.
    private func settle(_ plan: CommitPlan) async throws(Failure) {
        for (entry, disks) in plan.moved { try await ports.branches.move(disks, of: entry.run, guest) }
        for branch in plan.changedBranches { try await ports.branches.change(branch) }
        for known in plan.described {
            try await ports.life.restore(known, replacing: plan.replaced, asCurrent: known.isCurrent)
        }
    }

    /// Only once the files are gone: until then this is how they are known.
    private func forget(_ plan: CommitPlan) async throws(Failure) {
        for branch in plan.droppedBranches { try await ports.branches.drop(branch.run) }
        for (snapshots, fate) in [(plan.finished, CatalogueEntry.Fate.committed), (plan.lost, .removed)] {
            for snapshot in snapshots {
                if let known = snapshot.registered { try await ports.life.forget(known.name) }
                if let entry = snapshot.entry { try await ports.catalogue.mark(entry.run, fate) }
            }
        }
    }

    /// An image grows by what is merged into it, but never beyond its disk.
    private func refuseWithoutRoom(_ plan: CommitPlan) async throws(Failure) {
        let growing = plan.steps.filter { $0.place != .merged }
        for (folder, steps) in Dictionary(grouping: growing, by: { OverlayNames.folder(of: $0.base.path) }) {
            guard let free = await ports.layers.freeBytes(in: folder) else { continue }
            var wanted = Int64(0)
            for step in steps {
                var grown = Int64(0)
                for layer in step.merged {
                    grown = grown.addingClamped(await ports.layers.allocatedBytes(of: layer) ?? 0)
                }
                let size = try await ports.layers.virtualSize(of: step.top)
                let room = size.addingClamped(-(await ports.layers.allocatedBytes(of: step.base.path) ?? 0))
                wanted = wanted.addingClamped(max(0, min(grown, room)))
            }
            guard wanted <= free else {
                throw Failure(
                    .refused,
                    "too little space to merge: up to \(ByteCount(wanted)) go to \(folder), where \(ByteCount(free)) are free",
                    hint: "make room there: nothing is lost, the overlays stay")
            }
        }
    }
}

extension CommitPlan.Step {
    var merge: Merge {
        Merge(
            target: target, top: top.path, base: base.path,
            isHead: [.live(isHead: true), .off(isHead: true)].contains(place),
            isOnBranch: place == .abandoned ? true : nil)
    }

    /// For QEMU to do; nil where no process has the images.
    var liveMerge: Merge? { if case .live = place { merge } else { nil } }
}

/// `commit`'s, `delete`'s and `prune`'s result.
public struct CommitReport: Codable, Sendable {
    public struct Kept: Codable, Sendable, Hashable {
        public var name: String
        public var reason: String
    }

    public var schema = "stillpoint.commit/v1"
    public var domain: GuestIdentity
    public var snapshots: [String]
    /// Snapshots that went with an abandoned branch.
    public var abandoned: [String]
    public var kept: [Kept]
    public var disks: [Merge]
    public var removed: [String]
    public var tookMs: Int64
    public var isDryRun: Bool

    /// Both as one.
    fileprivate func after(_ first: CommitReport) -> CommitReport {
        var report = self
        report.abandoned = first.abandoned + abandoned
        report.removed = first.removed + removed
        report.tookMs = first.tookMs.addingClamped(tookMs)
        return report
    }
}
