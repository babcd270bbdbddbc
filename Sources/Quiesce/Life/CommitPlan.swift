// SPDX-License-Identifier: Apache-2.0

/// Which layers go into which. Making one touches nothing.
public struct CommitPlan: Sendable {
    /// Layers that go, as one, into the image below them.
    public struct Step: Sendable, Hashable {
        public enum Place: Sendable, Hashable {
            /// Under a guest that runs: QEMU merges them. `isHead`: the guest writes to the top and switches to the base.
            case live(isHead: Bool)
            /// Under one that is off; `isHead`: its definition names the top.
            case off(isHead: Bool)
            /// On a branch that a revert left.
            case abandoned
            /// Nowhere any more: its content is in the base, and only its heirs still lie on it.
            case merged
        }

        public var target: DiskTarget
        public var top: ImageLayer
        public var base: ImageLayer
        public var place: Place
        /// The top's layers and those between it and the base, newest first.
        public var merged: [String]
        /// What lies on the top besides the guest's own chain and will lie on the base.
        public var heirs: [ImageLayer]
    }

    public var guest: GuestIdentity
    public var steps: [Step] = []
    /// Layers that nothing needs afterwards.
    public var removed: [String] = []
    /// Snapshots of which nothing is left because their layers are merged.
    public var finished: [Lineage.Snapshot] = []
    /// Snapshots that go with an abandoned branch.
    public var lost: [Lineage.Snapshot] = []
    /// Snapshots that stay, and what keeps them.
    public var kept: [CommitReport.Kept] = []
    /// Whose frozen images are written to from the first block on.
    var written: [CatalogueEntry] = []
    /// Where other snapshots' disks lie afterwards.
    var moved: [(entry: CatalogueEntry, disks: [MemberReport.Disk])] = []
    /// What libvirt's own descriptions are to name instead.
    var replaced: [String: ImageLayer] = [:]
    var described: [RegisteredSnapshot] = []
    var changedBranches: [Branch] = []
    var droppedBranches: [Branch] = []

    /// - Parameters:
    ///   - doomed: overlays that go into what they lie on.
    ///   - dropped: branches that go as they are.
    ///   - merged: those of them that have gone there already, and where.
    ///   - isActive: the guest has a QEMU process.
    init(
        merging doomed: Set<String>, dropping dropped: Set<RunID> = [], merged: [String: ImageLayer] = [:],
        in lineage: Lineage, isActive: Bool
    ) throws(Failure) {
        guest = lineage.guest
        replaced = merged
        let base = lineage.without(dropped)
        try drop(dropped, lineage, base)
        for (target, chain) in base.active.sorted(by: { $0.key < $1.key }) {
            try add(chain, target, doomed, base) { isActive ? .live(isHead: $0) : .off(isHead: $0) }
        }
        for branch in base.abandoned {
            for (target, chain) in branch.chains.sorted(by: { $0.key < $1.key }) {
                try add(chain, target, doomed, base, merged) { _ in .abandoned }
            }
        }
        settle(lineage, base, doomed)
    }

    /// The runs of layers in one chain that go. Some of it may be another chain's as well.
    private mutating func add(
        _ chain: [ImageLayer], _ target: DiskTarget, _ doomed: Set<String>, _ lineage: Lineage,
        _ gone: [String: ImageLayer] = [:], _ place: (_ isHead: Bool) -> Step.Place
    ) throws(Failure) {
        var index = 0
        while index < chain.count {
            guard doomed.contains(chain[index].path) else {
                index += 1
                continue
            }
            let start = index
            while index < chain.count, doomed.contains(chain[index].path) { index += 1 }
            guard index < chain.count, !steps.contains(where: { $0.top == chain[start] }) else { continue }
            let merged = chain[start..<index].map(\.path)
            let isMerged = gone[chain[start].path] != nil
            if !isMerged { try refuseCompany(of: merged, on: chain[index], target, lineage) }
            let above = start > 0 ? chain[start - 1].path : nil
            let place = isMerged ? .merged : place(start == 0)
            let heirs = lineage.children(of: chain[start].path).filter { heir in
                if case .live = place { heir != above } else { true }
            }
            steps.append(
                Step(
                    target: target, top: chain[start], base: chain[index], place: place, merged: merged,
                    heirs: heirs.sorted().map { ImageLayer(path: $0, format: "qcow2") }))
            for path in merged { replaced[path] = chain[index] }
            removed += merged
        }
    }

    /// An image whose content changes may carry nothing but what is merged into it, and one that goes nothing unknown.
    private func refuseCompany(
        of merged: [String], on base: ImageLayer, _ target: DiskTarget, _ lineage: Lineage
    ) throws(Failure) {
        if lineage.active.values.contains(where: { $0.first?.path == base.path }) {
            throw Failure(
                .refused,
                "\(target): the guest writes to \(base.path) itself, which \(merged.first ?? "a layer") would change under it",
                hint: "give up what the reverts left:   stillpoint prune \(guest.name) --abandoned")
        }
        for (upper, lower) in zip(merged, Array(merged.dropFirst()) + [base.path]) {
            let siblings = lineage.children(of: lower).subtracting([upper])
            if let sibling = siblings.min() {
                let isAbandoned = !lineage.activeImages.contains(sibling)
                throw Failure(
                    .refused,
                    "\(target): \(lower) carries \(sibling) too\(isAbandoned ? ", which a revert left behind" : ""): merging \(upper) would change it under that",
                    hint: isAbandoned || !lineage.activeImages.contains(upper)
                        ? "give up what the reverts left:   stillpoint prune \(guest.name) --abandoned" : nil)
            }
            try refuseStrangers(on: lower, target, lineage)
        }
        if let top = merged.first { try refuseStrangers(on: top, target, lineage) }
    }

    private func refuseStrangers(on image: String, _ target: DiskTarget, _ lineage: Lineage) throws(Failure) {
        guard let others = lineage.strangers[image] else { return }
        throw Failure(
            .refused,
            "\(target) stands on \(image), which \(others.sorted().joined(separator: " ")) uses too: merging would change it under them"
        )
    }

    /// The layers of a branch down to where it left the guest's chain; one that never meets it is nobody's to remove.
    private mutating func drop(_ runs: Set<RunID>, _ lineage: Lineage, _ left: Lineage) throws(Failure) {
        let used = left.images
        for branch in lineage.abandoned where runs.contains(branch.branch.run) {
            // Once the branch is forgotten, nobody knows whose these images are.
            if let (target, why) = branch.unread.min(by: { $0.key < $1.key }) {
                throw Failure(
                    .refused, "\(target) of what the revert to \(branch.branch.revertedTo) left cannot be read: \(why)")
            }
            for (target, chain) in branch.chains.sorted(by: { $0.key < $1.key }) {
                let going = chain.prefix { !used.contains($0.path) }
                guard going.count < chain.count else {
                    throw Failure(
                        .refused,
                        "\(target): \(chain.first?.path ?? "?"), left by the revert to \(branch.branch.revertedTo), stands on nothing that the guest uses: it is left alone"
                    )
                }
                for layer in going {
                    if let others = lineage.strangers[layer.path] {
                        throw Failure(
                            .refused,
                            "\(layer.path), left by the revert to \(branch.branch.revertedTo), is used by \(others.sorted().joined(separator: " "))"
                        )
                    }
                    if !removed.contains(layer.path) { removed.append(layer.path) }
                }
            }
            droppedBranches.append(branch.branch)
        }
    }

    private mutating func settle(_ before: Lineage, _ base: Lineage, _ doomed: Set<String>) {
        func merge(_ chains: [DiskTarget: [ImageLayer]]) -> [DiskTarget: [ImageLayer]] {
            chains.mapValues { $0.filter { replaced[$0.path] == nil } }
        }
        var then = base
        then.active = merge(base.active)
        for index in then.abandoned.indices { then.abandoned[index].chains = merge(base.abandoned[index].chains) }
        for (old, new) in zip(before.snapshots, base.snapshots) {
            for (target, overlay) in old.overlays where new.overlays[target] != overlay {
                if let heir = new.overlays[target] { replaced[overlay] = ImageLayer(path: heir, format: "qcow2") }
            }
        }
        let merged = Set(steps.flatMap(\.merged))
        written = before.snapshots.filter { !merged.isDisjoint(with: $0.overlays.values) }.compactMap(\.entry)
        for snapshot in base.snapshots {
            let isMerged = !doomed.isDisjoint(with: snapshot.overlays.values)
            // On a disk that is not the guest's now, and somebody's still.
            let held = snapshot.overlays.filter { !then.images.contains($0.value) && before.strangers[$0.value] != nil }
            let isGone = then.standing(of: snapshot) == .gone && held.isEmpty
            if isMerged, let (target, overlay) = held.min(by: { $0.key < $1.key }) {
                let others = before.strangers[overlay, default: []].sorted().joined(separator: " ")
                kept.append(.init(name: snapshot.name, reason: "\(target): \(others) names \(overlay)"))
            }
            if isGone, isMerged {
                finished.append(snapshot)
                // The memory of a moment that the disks have left behind.
                if let file = snapshot.memoryFile { removed.append(file) }
                removed += Self.leavings(of: snapshot, before).filter { !removed.contains($0) }
            } else if isGone, before.standing(of: snapshot) != .gone {
                lost.append(snapshot)
                if let file = snapshot.memoryFile { removed.append(file) }
            } else if !isGone {
                if let entry = snapshot.entry, let disks = snapshot.disks(in: then) { moved.append((entry, disks)) }
                if let known = snapshot.registered {
                    let whole = known.holding(snapshot, in: then)
                    if whole != known || known.mentions(replaced.keys) { described.append(whole) }
                }
            }
        }
        let going = (finished + lost).compactMap(\.memory)
        for branch in base.abandoned {
            var changed = branch.branch
            for index in changed.leaves.indices {
                if let heir = replaced[changed.leaves[index].image.path] { changed.leaves[index].image = heir }
            }
            changed.forgotten.removeAll { going.contains($0) }
            if changed.forgotten.contains(where: { $0.mentions(replaced.keys) }) {
                changed.merged.merge(replaced) { _, new in new }
            }
            if changed != branch.branch { changedBranches.append(changed) }
        }
    }
}

extension RegisteredSnapshot {
    fileprivate func mentions(_ paths: some Sequence<String>) -> Bool {
        paths.contains { images.contains($0) || overlays.values.contains($0) }
    }

    /// As the snapshot is in that lineage: without the disks that it holds no longer. What virsh made keeps them, each with
    /// the overlay that is gone: nothing else would tell that it is not whole.
    func holding(_ snapshot: Lineage.Snapshot, in lineage: Lineage) -> RegisteredSnapshot {
        var known = self
        for name in overlays.keys {
            guard let target = DiskTarget(name) else { continue }
            if lineage.frozen(snapshot, target) != nil {
                known.overlays[name] = snapshot.overlays[target]
            } else if snapshot.entry != nil {
                known.overlays[name] = nil
            }
        }
        return known
    }
}

extension Lineage.Snapshot {
    /// Its disks as they lie in that lineage; nil where that is as its manifest says.
    fileprivate func disks(in lineage: Lineage) -> [MemberReport.Disk]? {
        var isMoved = false
        let now = disks.map { disk in
            guard let chain = lineage.frozen(self, disk.target), let frozen = chain.first,
                let overlay = overlays[disk.target], chain != disk.chain || overlay != disk.overlay
            else { return disk }
            isMoved = true
            var disk = disk
            (disk.chain, disk.frozenImage, disk.format, disk.overlay) = (chain, frozen.path, frozen.format, overlay)
            return disk
        }
        return isMoved ? now : nil
    }
}
