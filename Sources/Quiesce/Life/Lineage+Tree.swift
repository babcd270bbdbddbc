// SPDX-License-Identifier: Apache-2.0

/// What stands on what.
extension Lineage {
    /// Every image that a list may want to know the size of.
    public var everyImage: Set<String> { images.union(snapshots.flatMap(\.overlays.values)) }

    /// The snapshot that one was taken after: as libvirt has it, else by the images.
    func parent(of snapshot: Snapshot) -> String? {
        if let known = snapshot.registered ?? snapshot.memory { return known.parent }
        var below: [DiskTarget: [ImageLayer]] = [:]
        for target in snapshot.overlays.keys {
            guard let frozen = frozen(snapshot, target) else { continue }
            below[target] = frozen
        }
        return parent(of: below)
    }

    /// libvirt lists no snapshot whose parent it does not: the nearest one that it does, if that has gone meanwhile.
    func listedParent(of snapshot: Snapshot, remembering parent: String?) -> String? {
        var listed = self
        listed.snapshots = snapshots.filter {
            ($0.registered ?? $0.memory) != nil && ![.gone, .abandoned].contains(standing(of: $0))
        }
        if let parent, listed.snapshots.contains(where: { $0.name == parent }) { return parent }
        let below = snapshot.overlays.keys.reduce(into: [:]) { $0[$1] = frozen(snapshot, $1) }
        return listed.parent(of: below)
    }

    /// The newest snapshot whose frozen image lies in one of these chains, below its newest layer.
    func parent(of chains: [DiskTarget: [ImageLayer]]) -> String? {
        snapshots.last { snapshot in
            chains.contains { target, chain in
                guard let frozen = frozen(snapshot, target)?.first else { return false }
                return chain.dropFirst().contains(frozen)
            }
        }?.name
    }
}
