// SPDX-License-Identifier: Apache-2.0

/// Which snapshots `prune` takes away. Those that reverts have abandoned go in any case.
public enum PruneRule: Sendable, Hashable {
    /// All but the newest so many.
    case keep(Int)
    case olderThan(Duration)
    case abandonedOnly
}

/// Which layers and branches a request is about.
extension CommitPlan {
    init(
        _ request: CommitRun.Request, _ facts: GuestFacts, _ lineage: Lineage, _ uses: [SnapshotUse],
        at now: Timestamp
    ) throws(Failure) {
        try Self.refuse(facts, request)
        let isActive = facts.power != .shutOff
        if let rule = request.rule {
            try self.init(pruning: rule, uses, lineage, isActive, now)
            return
        }
        if !request.branches.isEmpty {
            try self.init(merging: [], dropping: request.branches, in: lineage, isActive: isActive)
            try refuseUsed(uses, lineage, request.command)
            return
        }
        if !request.groups.isEmpty {
            let chains = Array(lineage.active.values) + lineage.abandoned.flatMap(\.chains.values)
            var merged: [String: ImageLayer] = [:]
            for group in request.groups where group.isMerged {
                let base = chains.lazy.flatMap(\.self).first { $0.path == group.base }
                for layer in group.layers { merged[layer] = base }
            }
            try self.init(
                merging: Set(request.groups.flatMap(\.layers)), merged: merged, in: lineage, isActive: isActive)
            // What is in no chain any more has gone into its base, where a chain has that.
            for group in request.groups where lineage.images.contains(group.base) {
                removed += group.layers.filter { layer in
                    !lineage.images.contains(layer) && lineage.strangers[layer] == nil && !removed.contains(layer)
                }
            }
            try refuseUsed(uses, lineage, request.command)
            return
        }
        var dropped: Set<RunID> = []
        var doomed: Set<String> = []
        var gone: Lineage.Snapshot?
        if request.all {
            doomed = try Self.everything(request, lineage, isActive)
        } else {
            let snapshot = try Self.snapshot(request, lineage)
            guard !snapshot.isInside || snapshot.registered == nil else {
                throw Failure(
                    .refused, "\(snapshot.name) lies inside the images: there is no overlay to merge",
                    hint: "virsh snapshot-delete \(facts.guest.name) \(snapshot.name)")
            }
            if lineage.standing(of: snapshot) == .gone {
                guard request.command == .delete else {
                    throw Failure(
                        .noSuchThing, "no disk of \(facts.guest.name) uses an overlay of \(snapshot.name) any more",
                        hint: "stillpoint delete \(facts.guest.name) \(snapshot.name)   forgets it")
                }
                gone = snapshot
            } else if request.children {
                (doomed, dropped) = Self.family(of: snapshot, in: lineage)
            } else {
                for (target, overlay) in snapshot.overlays where request.isWanted(target) {
                    if lineage.frozen(snapshot, target) != nil { doomed.insert(overlay) }
                }
            }
        }
        try self.init(merging: doomed, dropping: dropped, in: lineage, isActive: isActive)
        if let gone {
            finished.append(gone)
            removed += Self.leavings(of: gone, lineage)
            // The memory of a moment that the disks have left behind.
            if gone.entry?.fate == .merging, let file = gone.memoryFile { removed.append(file) }
        }
        guard !steps.isEmpty || !finished.isEmpty || !lost.isEmpty else {
            throw Failure(.noSuchThing, "\(facts.guest.name) has nothing to merge on these disks")
        }
        try refuseUsed(uses, lineage, request.command)
    }

    /// Overlays that a merge of ours has left behind when it was killed at its very end: the guest is on what they lay on.
    /// One of a disk that is detached, or that others deleted, is theirs to clear up: it may be all that there is of the data.
    static func leavings(of gone: Lineage.Snapshot, _ lineage: Lineage) -> [String] {
        guard gone.entry?.fate == .merging else { return [] }
        return gone.disks.filter { disk in
            !lineage.images.contains(disk.overlay) && lineage.strangers[disk.overlay] == nil
                && lineage.active[disk.target]?.contains { $0.path == disk.frozenImage } == true
        }.map(\.overlay).sorted()
    }

    /// What somebody reads neither changes nor goes.
    private func refuseUsed(
        _ uses: [SnapshotUse], _ lineage: Lineage, _ command: CommitRun.Request.Command
    ) throws(Failure) {
        let touched = Set(steps.map(\.base.path) + removed)
        for use in uses {
            guard let snapshot = lineage.snapshots.first(where: { $0.entry?.run == use.run }) else { continue }
            let frozen = snapshot.overlays.keys.flatMap { lineage.frozen(snapshot, $0) ?? [] }
            guard !frozen.contains(where: { touched.contains($0.path) }) else {
                throw use.refusal(toBe: command == .delete ? "deleted" : "merged")
            }
        }
    }

    var title: String { (finished + lost).map(\.name).joined(separator: " ") }

    private static func refuse(_ facts: GuestFacts, _ request: CommitRun.Request) throws(Failure) {
        let name = facts.guest.name
        for target in request.disks where !facts.disks.contains(where: { $0.target == target }) {
            throw Failure(.usage, "\(name) has no disk \(target)")
        }
        if case .other(let state) = facts.power { throw Failure(.refused, "\(name) is \(state)") }
        // A job here is somebody else's, whatever it merges into: of ours that was killed `recover` takes care.
        try facts.refuseIfBusy()
    }

    private static func snapshot(_ request: CommitRun.Request, _ lineage: Lineage) throws(Failure) -> Lineage.Snapshot {
        if let name = request.name { return try lineage.snapshot(named: name) }
        let standing = lineage.snapshots.filter {
            $0.isInside && $0.entry != nil && $0.registered != nil
                || ![.gone, .abandoned].contains(lineage.standing(of: $0))
        }
        guard let newest = standing.last(where: { $0.entry != nil }) ?? standing.last else {
            throw Failure(
                .noSuchThing, "\(lineage.guest.name) has no snapshot to commit",
                hint: "stillpoint list \(lineage.guest.name)")
        }
        return newest
    }

    /// All layers above the last one, or above what somebody else stands on. Of a guest that is off nothing but an image's own
    /// header says what lies below, and whoever made the image wrote that: it goes no farther than folders that hold images
    /// which the guest's definition, libvirt or our catalogue names, and into no device.
    private static func everything(
        _ request: CommitRun.Request, _ lineage: Lineage, _ isActive: Bool
    ) throws(Failure) -> Set<String> {
        let name = lineage.guest.name
        let known =
            lineage.active.values.compactMap(\.first?.path)
            + lineage.snapshots.flatMap { $0.overlays.values + $0.disks.map(\.frozenImage) }
        let folders = Set(known.map(OverlayNames.folder))
        let chosen = lineage.active.filter { request.isWanted($0.key) && $0.value.count > 1 }
        guard !chosen.isEmpty else { throw Failure(.noSuchThing, "\(name) has no overlay to merge") }
        var doomed: Set<String> = []
        for chain in chosen.values {
            for (upper, lower) in zip(chain, chain.dropFirst()) {
                guard lineage.strangers[lower.path] == nil, lineage.children(of: lower.path).count == 1,
                    isActive || folders.contains(OverlayNames.folder(of: lower.path)) && !lower.path.hasPrefix("/dev/")
                else { break }
                doomed.insert(upper.path)
            }
        }
        guard !doomed.isEmpty else {
            throw Failure(
                .refused,
                "\(name) has nothing to merge: other domains, or what reverts left, use the images its overlays lie on, or nothing but a header names those",
                hint: lineage.abandoned.isEmpty ? nil : "stillpoint prune \(name) --abandoned")
        }
        return doomed
    }

    /// The overlays of a snapshot and of all that stand on it, by the images and not by the clock, and the branches that do.
    private static func family(
        of snapshot: Lineage.Snapshot, in lineage: Lineage
    ) -> (doomed: Set<String>, dropped: Set<RunID>) {
        let frozen = Set(snapshot.overlays.keys.compactMap { lineage.frozen(snapshot, $0)?.first?.path })
        let dropped = lineage.abandoned.filter { branch in
            branch.chains.values.contains { chain in chain.dropFirst().contains { frozen.contains($0.path) } }
        }
        let left = lineage.without(Set(dropped.map(\.branch.run)))
        var doomed: Set<String> = []
        for chain in left.active.values {
            guard let place = chain.firstIndex(where: { frozen.contains($0.path) }) else { continue }
            doomed.formUnion(chain[..<place].map(\.path))
        }
        var below = frozen
        var others = left.snapshots.filter { left.standing(of: $0) != .abandoned }
        while let next = others.firstIndex(where: { left.stands($0, on: below) }) {
            let other = others.remove(at: next)
            for (target, overlay) in other.overlays {
                guard let frozen = left.frozen(other, target)?.first else { continue }
                below.insert(frozen.path)
                doomed.insert(overlay)
            }
        }
        return (doomed, Set(dropped.map(\.branch.run)))
    }

    private init(
        pruning rule: PruneRule, _ uses: [SnapshotUse], _ lineage: Lineage, _ isActive: Bool, _ now: Timestamp
    ) throws(Failure) {
        var kept: [CommitReport.Kept] = []
        // What reverts left.
        var dropped: Set<RunID> = []
        for branch in lineage.abandoned {
            do throws(Failure) {
                try CommitPlan(
                    merging: [], dropping: dropped.union([branch.branch.run]), in: lineage, isActive: isActive
                ).refuseUsed(uses, lineage, .prune)
                dropped.insert(branch.branch.run)
            } catch {
                kept.append(.init(name: "(left by the revert to \(branch.branch.revertedTo))", reason: error.message))
            }
        }
        let left = lineage.without(dropped)
        let ours = left.snapshots.filter { snapshot in
            snapshot.entry != nil && ![.gone, .abandoned].contains(left.standing(of: snapshot))
        }
        var doomed: Set<String> = []
        for snapshot in Self.old(ours, rule, now) {
            let overlays = snapshot.overlays.filter { left.frozen(snapshot, $0.key) != nil }.values
            do throws(Failure) {
                try CommitPlan(merging: doomed.union(overlays), dropping: dropped, in: lineage, isActive: isActive)
                    .refuseUsed(uses, lineage, .prune)
                doomed.formUnion(overlays)
            } catch {
                kept.append(.init(name: snapshot.name, reason: error.message))
            }
        }
        try self.init(merging: doomed, dropping: dropped, in: lineage, isActive: isActive)
        self.kept += kept
    }

    private static func old(_ snapshots: [Lineage.Snapshot], _ rule: PruneRule, _ now: Timestamp) -> [Lineage.Snapshot]
    {
        switch rule {
        case .keep(let count): Array(snapshots.dropLast(count))
        case .olderThan(let age):
            snapshots.filter { $0.createdAt < now.adding(milliseconds: -age.inMilliseconds).seconds }
        case .abandonedOnly: []
        }
    }
}

extension CommitRun.Request {
    fileprivate func isWanted(_ target: DiskTarget) -> Bool { disks.isEmpty || disks.contains(target) }
}
