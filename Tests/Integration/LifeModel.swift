// SPDX-License-Identifier: Apache-2.0

/// What a guest's images must contain, which snapshots must stand, and what must be refused: told what is done, and never
/// what the command found. A layer is known by its file.
struct LifeModel {
    /// 32 KiB, half a cluster of qcow2: some writes have to take the other half from the layer below.
    static let block = 32 << 10
    static let blocks = (16 << 20) / block

    struct Layer {
        var below: String?
        /// What is read through it, a number for each block.
        var content: [UInt8]
    }

    struct Snapshot {
        var name: String
        var isOurs: Bool
        /// libvirt lists it.
        var isListed = true
        /// A revert has made libvirt forget it.
        var isRemembered = false
        var overlays: [String: String]
    }

    struct Left {
        var leaves: [String: String]
        var revertedTo: String
    }

    enum Standing: String { case current, below, partly, abandoned, gone }

    /// A refusal, with the exit status it has to have.
    struct Refused: Error { let exit: Int32 }

    var active: [String: String]
    private(set) var layers: [String: Layer]
    /// Oldest first.
    private(set) var snapshots: [Snapshot] = []
    /// Oldest first.
    private(set) var branches: [Left] = []
    var isRunning = true

    init(_ disks: [String: String]) {
        active = disks
        layers = disks.values.reduce(into: [:]) {
            $0[$1] = Layer(content: Array(repeating: 0, count: Self.blocks))
        }
    }

    // MARK: looking

    func chain(_ leaf: String) -> [String] { Array(sequence(first: leaf) { layers[$0]?.below }) }

    private func chains(_ target: String) -> [[String]] {
        ([active[target]] + branches.map { $0.leaves[target] }).compactMap { $0.map(chain) }
    }

    private func lying(on image: String) -> Set<String> { Set(layers.filter { $0.value.below == image }.keys) }

    func frozen(_ snapshot: Snapshot, _ target: String) -> String? {
        snapshot.overlays[target].flatMap { layers[$0]?.below }
    }

    func standing(_ snapshot: Snapshot) -> Standing {
        var (lost, unused, depth) = (0, 0, 0)
        for target in snapshot.overlays.keys {
            if let frozen = frozen(snapshot, target) {
                let place = chain(active[target] ?? "").firstIndex(of: frozen)
                if let place { depth = max(depth, place) } else { unused += 1 }
            } else {
                lost += 1
            }
        }
        if lost == snapshot.overlays.count { return .gone }
        if lost + unused == 0 { return depth > 1 ? .below : .current }
        return unused == snapshot.overlays.count ? .abandoned : .partly
    }

    private func isInUse(_ snapshot: Snapshot) -> Bool { ![.gone, .abandoned].contains(standing(snapshot)) }

    private func snapshot(_ name: String) throws -> Snapshot {
        guard let found = snapshots.first(where: { $0.name == name }) else { throw Refused(exit: 66) }
        return found
    }

    /// The number written last is read back.
    mutating func write(_ number: UInt8, to target: String, _ blocks: Range<Int>) {
        guard let image = active[target] else { return }
        for block in blocks { layers[image]?.content[block] = number }
    }

    // MARK: snapshots come

    mutating func cut(_ name: String, isOurs: Bool, onto overlays: [String: String]) {
        lay(overlays)
        snapshots.append(Snapshot(name: name, isOurs: isOurs, overlays: overlays))
    }

    private mutating func lay(_ overlays: [String: String]) {
        for (target, overlay) in overlays {
            guard let below = active[target], let layer = layers[below] else { continue }
            layers[overlay] = Layer(below: below, content: layer.content)
            active[target] = overlay
        }
    }

    // MARK: and go

    mutating func commit(_ name: String?, disk: String? = nil) throws {
        let standing = snapshots.filter(isInUse)
        guard let chosen = try name.map({ try snapshot($0) }) ?? standing.last(where: \.isOurs) ?? standing.last,
            self.standing(chosen) != .gone
        else { throw Refused(exit: 66) }
        let doomed = chosen.overlays.filter { (disk == nil || $0.key == disk) && layers[$0.value] != nil }
        guard !doomed.isEmpty else { throw Refused(exit: 66) }
        try merge(Set(doomed.values))
    }

    mutating func commitAll(disk: String? = nil) throws {
        let deep = active.filter { (disk == nil || $0.key == disk) && layers[$0.value]?.below != nil }
        guard !deep.isEmpty else { throw Refused(exit: 66) }
        var doomed: Set<String> = []
        for leaf in deep.values {
            doomed.formUnion(chain(leaf).prefix { layers[$0]?.below.map { lying(on: $0).count == 1 } ?? false })
        }
        guard !doomed.isEmpty else { throw Refused(exit: 20) }
        try merge(doomed)
    }

    mutating func delete(_ name: String, children: Bool = false) throws {
        let chosen = try snapshot(name)
        if standing(chosen) == .gone {
            snapshots.removeAll { $0.name == name }
            return
        }
        guard children else { return try merge(Set(chosen.overlays.values)) }
        let images = Set(chosen.overlays.keys.compactMap { frozen(chosen, $0) })
        let before = self
        drop { left in left.leaves.values.contains { !images.isDisjoint(with: before.chain($0).dropFirst()) } }
        var family = snapshots.filter { $0.name == name }
        while let next = snapshots.first(where: { other in
            standing(other) != .abandoned && !family.contains { $0.name == other.name }
                && family.contains { stands(other, on: $0) }
        }) { family.append(next) }
        var doomed = Set(family.flatMap(\.overlays.values))
        for leaf in active.values {
            let above = chain(leaf).prefix { !images.contains($0) }
            if layers[above.last ?? ""]?.below != nil { doomed.formUnion(above) }
        }
        try merge(doomed, since: before.gone)
    }

    private func stands(_ upper: Snapshot, on lower: Snapshot) -> Bool {
        upper.overlays.keys.contains { target in
            guard let frozen = frozen(lower, target), let above = self.frozen(upper, target) else { return false }
            return chain(above).dropFirst().contains(frozen)
        }
    }

    mutating func prune(keeping count: Int?) throws {
        let gone = gone
        drop { _ in true }
        let ours = snapshots.filter { $0.isOurs && isInUse($0) }
        let old = count.map { ours.dropLast($0) } ?? []
        try merge(Set(old.flatMap(\.overlays.values)), since: gone)
    }

    private var gone: Set<String> { Set(snapshots.filter { standing($0) == .gone }.map(\.name)) }

    /// Each goes into what it lies on, which may carry nothing else.
    private mutating func merge(_ doomed: Set<String>, since earlier: Set<String>? = nil) throws {
        let wasGone = earlier ?? gone
        for image in doomed {
            guard let below = layers[image]?.below else { continue }
            guard lying(on: below).count == 1 else { throw Refused(exit: 20) }
        }
        for image in doomed {
            guard let below = layers[image]?.below, let layer = layers.removeValue(forKey: image) else { continue }
            fold(image, layer, below)
        }
        let isGone = gone.subtracting(wasGone)
        snapshots.removeAll { isGone.contains($0.name) }
    }

    private mutating func fold(_ image: String, _ layer: Layer, _ below: String) {
        layers[below]?.content = layer.content
        for upper in lying(on: image) { layers[upper]?.below = below }
        for (target, leaf) in active where leaf == image { active[target] = below }
        for index in branches.indices {
            for (target, leaf) in branches[index].leaves where leaf == image { branches[index].leaves[target] = below }
        }
    }

    /// Branches go as they are. A snapshot in use whose overlay was on one has what lies on its frozen image now.
    private mutating func drop(_ isDropped: (Left) -> Bool) {
        let frozen = snapshots.map { snapshot in
            snapshot.overlays.keys.reduce(into: [:]) { $0[$1] = self.frozen(snapshot, $1) }
        }
        branches.removeAll(where: isDropped)
        let left = Set(active.keys.flatMap(chains).joined())
        layers = layers.filter { left.contains($0.key) }
        for index in snapshots.indices {
            for (target, image) in frozen[index] where layers[snapshots[index].overlays[target] ?? ""] == nil {
                let heirs = chains(target).compactMap { chain in
                    chain.firstIndex(of: image).flatMap { $0 > 0 ? chain[$0 - 1] : nil }
                }
                if let heir = heirs.first { snapshots[index].overlays[target] = heir }
            }
        }
    }

    // MARK: the guest goes back

    /// - Parameter overlay: the new one of a disk.
    mutating func revert(to name: String, onto overlay: (String) -> String) throws {
        let chosen = try snapshot(name)
        var bases: [String: String] = [:]
        for target in chosen.overlays.keys {
            guard let base = frozen(chosen, target), base != active[target] else { throw Refused(exit: 20) }
            bases[target] = base
        }
        branches.append(Left(leaves: active.filter { bases[$0.key] != nil }, revertedTo: name))
        active.merge(bases) { _, base in base }
        lay(bases.keys.reduce(into: [:]) { $0[$1] = overlay($1) })
        settle()
    }

    mutating func undo() throws {
        guard let last = branches.popLast() else { throw Refused(exit: 66) }
        branches.append(Left(leaves: active.filter { last.leaves[$0.key] != nil }, revertedTo: last.revertedTo))
        active.merge(last.leaves) { _, leaf in leaf }
        settle()
    }

    /// libvirt lists what is on the guest's own branch.
    private mutating func settle() {
        for index in snapshots.indices {
            let isLeft = standing(snapshots[index]) == .abandoned
            if isLeft, snapshots[index].isListed {
                (snapshots[index].isListed, snapshots[index].isRemembered) = (false, true)
            } else if !isLeft, snapshots[index].isRemembered, standing(snapshots[index]) != .gone {
                (snapshots[index].isListed, snapshots[index].isRemembered) = (true, false)
            }
        }
    }

    // MARK: behind the command's back

    /// `virsh snapshot-delete --metadata`
    mutating func unlist(_ name: String) {
        snapshots.removeAll { $0.name == name && !$0.isOurs }
        for index in snapshots.indices where snapshots[index].name == name { snapshots[index].isListed = false }
    }

    /// `virsh snapshot-delete`: ours stays in the catalogue as gone.
    mutating func mergeUnseen(_ name: String) throws {
        var others = try snapshot(name)
        try merge(Set(others.overlays.values))
        guard others.isOurs else { return }
        others.isListed = false
        snapshots.append(others)
    }

    /// Snapshots that virsh can merge without harm: it does not know of the branches.
    var mergeableUnseen: [String] {
        let inUse = Set(active.values.flatMap(chain))
        return snapshots.filter { snapshot in
            snapshot.isListed
                && snapshot.overlays.allSatisfy { target, overlay in
                    guard let frozen = frozen(snapshot, target), inUse.contains(overlay) else { return false }
                    return lying(on: frozen).count == 1 && lying(on: overlay).isSubset(of: inUse)
                }
        }.map(\.name)
    }
}
