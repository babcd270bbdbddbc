// SPDX-License-Identifier: Apache-2.0

/// All images of one guest, seen at one moment: the chains it uses, those that reverts left behind, and the snapshots in
/// them. Every chain is newest first.
public struct Lineage: Sendable {
    /// A snapshot whose images may be anywhere in it, or gone.
    public struct Snapshot: Sendable {
        public var name: String
        /// Ours; nil for one that virsh made.
        public var entry: CatalogueEntry?
        /// As libvirt has it now.
        public var registered: RegisteredSnapshot?
        /// As libvirt had it before it was made to forget it, because a revert left its branch.
        public var memory: RegisteredSnapshot?
        /// The layer that was laid on each frozen image.
        public var overlays: [DiskTarget: String]
        public var createdAt: Int64
        /// Where its manifest says that its disks lie; empty for one that virsh made.
        public var disks: [MemberReport.Disk]
        /// Inside the images: there is no overlay.
        public var isInside = false
        /// Where RAM and processor state of its moment lie.
        public var memoryFile: String?
    }

    /// Why what a snapshot's manifest says of its images is true no longer; nil where it is.
    ///
    /// - Parameter disks: where the manifest has them.
    public func loss(of run: RunID, _ disks: [MemberReport.Disk]) -> String? {
        guard let snapshot = snapshots.first(where: { $0.entry?.run == run }) else {
            return "the snapshot was merged or removed: its images are another's now"
        }
        if let why = snapshot.loss { return why }
        if snapshot.isInside { return nil }
        let lost = disks.first { frozen(snapshot, $0.target)?.first?.path != $0.frozenImage }
        return lost.map { "\($0.target): the overlay of \(snapshot.name) lies on \($0.frozenImage) no longer" }
    }

    public struct Abandoned: Sendable {
        public var branch: Branch
        /// Of the leaves that are there.
        public var chains: [DiskTarget: [ImageLayer]]
        /// Why a leaf that is there has no chain.
        public var unread: [DiskTarget: String] = [:]
    }

    public enum Standing: Sendable, Hashable {
        /// Its frozen images lie under what the guest uses, right below the newest layer of each disk.
        case current
        /// Newer layers are between them.
        case below
        /// Some of its disks are merged, or abandoned, and some are not.
        case partly
        /// On a branch that a revert left.
        case abandoned
        case gone
    }

    public var guest: GuestIdentity
    public var active: [DiskTarget: [ImageLayer]]
    public var abandoned: [Abandoned]
    /// Oldest first.
    public var snapshots: [Snapshot]
    /// Images of others that lie on images of this guest, by the image they lie on: domains, templates, unknown files.
    public var strangers: [String: Set<String>]

    public init(
        of guest: GuestIdentity, active: [DiskTarget: [ImageLayer]], abandoned: [Abandoned] = [],
        snapshots: [Snapshot] = [], strangers: [String: Set<String>] = [:]
    ) {
        self.guest = guest
        self.active = active
        self.abandoned = abandoned
        self.snapshots = snapshots
        self.strangers = strangers
    }

    func chains(of target: DiskTarget) -> [[ImageLayer]] {
        [active[target] ?? []] + abandoned.compactMap { $0.chains[target] }
    }

    /// Where the snapshot's frozen image of a disk is now, with all it stands on: whatever its overlay lies on. Merging
    /// the image into the one below does not change what is read through the overlay. Nil when the overlay is in no chain.
    func frozen(_ snapshot: Snapshot, _ target: DiskTarget) -> [ImageLayer]? {
        guard let overlay = snapshot.overlays[target] else { return nil }
        for chain in chains(of: target) {
            if let index = chain.firstIndex(where: { $0.path == overlay }), index + 1 < chain.count {
                return Array(chain[(index + 1)...])
            }
        }
        return nil
    }

    /// One of its frozen images is one of these or lies on it.
    func stands(_ snapshot: Snapshot, on images: Set<String>) -> Bool {
        snapshot.overlays.keys.contains { target in
            frozen(snapshot, target)?.contains { images.contains($0.path) } ?? false
        }
    }

    /// Images that lie right on that one, in any of the chains.
    func children(of image: String) -> Set<String> {
        var found: Set<String> = []
        for chain in active.values + abandoned.flatMap({ Array($0.chains.values) }) {
            for (upper, lower) in zip(chain, chain.dropFirst()) where lower.path == image { found.insert(upper.path) }
        }
        return found
    }

    var activeImages: Set<String> { Set(active.values.flatMap { $0.map(\.path) }) }
    var images: Set<String> { activeImages.union(abandoned.flatMap { $0.chains.values.flatMap { $0.map(\.path) } }) }

    public func standing(of snapshot: Snapshot) -> Standing {
        var depths: [Int?] = []
        var lost = 0
        for target in snapshot.overlays.keys {
            guard let frozen = frozen(snapshot, target)?.first else {
                lost += 1
                continue
            }
            // An image that the guest writes to is frozen no longer, whatever lies on it.
            depths.append(active[target]?.firstIndex { $0.path == frozen.path })
        }
        if depths.isEmpty { return .gone }
        let inUse = depths.compactMap { $0 }
        if inUse.isEmpty { return lost > 0 ? .partly : .abandoned }
        if lost > 0 || inUse.count < depths.count { return .partly }
        return inUse.contains { $0 > 1 } ? .below : .current
    }

    /// The one snapshot that a name or the beginning of a run's id stands for. One that is in use goes before one that
    /// is abandoned, and both before one that is gone.
    func snapshot(named name: String) throws(Failure) -> Snapshot {
        guard (1...255).contains(name.utf8.count), !name.hasPrefix("."),
            name.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F && $0 != 0x2F })
        else { throw Failure(.usage, "that is no snapshot's name", hint: "stillpoint list \(guest.name)") }
        let known = snapshots.filter { snapshot in
            if snapshot.name == name { return true }
            guard name.utf8.count >= 8, let run = snapshot.entry?.run else { return false }
            return run.description.hasPrefix(name)
        }
        let left = known.filter { standing(of: $0) != .gone }
        let inUse = left.filter { standing(of: $0) != .abandoned }
        let found = !inUse.isEmpty ? inUse : !left.isEmpty ? left : known
        guard let snapshot = found.last else {
            throw Failure(
                .noSuchThing, "\(guest.name) has no snapshot named \(name)",
                hint: "stillpoint list \(guest.name)")
        }
        guard found.count == 1 || left.isEmpty else {
            let runs = found.map { $0.entry?.run.short ?? "virsh's" }.joined(separator: " ")
            throw Failure(
                .usage, "\(guest.name) has \(found.count) snapshots named \(name): \(runs)",
                hint: "name it by its run:   \(found.compactMap { $0.entry?.run.short }.last ?? "stillpoint list")")
        }
        return snapshot
    }

    /// The same once these branches are no more. A snapshot in use whose overlay was on one of them has what lies on its
    /// frozen image now in its place.
    func without(_ runs: Set<RunID>) -> Lineage {
        var left = self
        left.abandoned.removeAll { runs.contains($0.branch.run) }
        for index in left.snapshots.indices {
            let before = snapshots[index]
            for target in before.overlays.keys where left.frozen(before, target) == nil {
                guard let frozen = frozen(before, target)?.first else { continue }
                let heir = left.chains(of: target).lazy.compactMap { chain -> String? in
                    guard let place = chain.firstIndex(where: { $0.path == frozen.path }), place > 0 else { return nil }
                    return chain[place - 1].path
                }.first
                if let heir { left.snapshots[index].overlays[target] = heir }
            }
        }
        return left
    }
}

extension Lineage.Snapshot {
    /// A merge that did not come to its end has mixed two moments.
    var loss: String? {
        guard entry?.fate == .merging else { return nil }
        return "a merge of \(name) was begun: its frozen images may hold what was written after the cut"
    }
}
