// SPDX-License-Identifier: Apache-2.0

/// Puts a guest's lineage together from the images' headers, libvirt and our catalogue. Changes nothing.
public struct LineageReader: Sendable {
    let life: any GuestLife
    let layers: any LayerStore
    let catalogue: any Catalogue
    let branches: any BranchCatalogue

    public init(
        life: any GuestLife, layers: any LayerStore, catalogue: any Catalogue, branches: any BranchCatalogue
    ) {
        self.life = life
        self.layers = layers
        self.catalogue = catalogue
        self.branches = branches
    }

    /// - Parameters:
    ///   - disks: as libvirt has them now.
    ///   - withStrangers: also who else uses these images, which takes a look at every domain and image of the host.
    public func read(
        _ guest: GuestIdentity, _ disks: [DiskFacts], isActive: Bool, withStrangers: Bool = true
    ) async throws(Failure) -> Lineage {
        var active: [DiskTarget: [ImageLayer]] = [:]
        for disk in disks where disk.device == .disk {
            guard let image = disk.activeImage else { continue }
            // A guest that is off has no chain in its definition. What cannot be read is in no chain, and so not touched.
            active[disk.target] = isActive ? disk.liveChain : (try? await layers.chain(of: image)) ?? [image]
        }
        var lineage = Lineage(of: guest, active: active)
        for branch in try await branches.branches(of: guest) {
            var chains: [DiskTarget: [ImageLayer]] = [:]
            var unread: [DiskTarget: String] = [:]
            for leaf in branch.leaves {
                do throws(Failure) { chains[leaf.target] = try await layers.chain(of: leaf.image) } catch {
                    if error.status != .noSuchThing { unread[leaf.target] = error.message }
                }
            }
            // A revert that was killed before it took effect has left nothing, whatever was laid on it since.
            let isLeft = branch.leaves.contains { leaf in
                active[leaf.target]?.contains { $0.path == leaf.image.path } != true
            }
            guard isLeft else { continue }
            lineage.abandoned.append(Lineage.Abandoned(branch: branch, chains: chains, unread: unread))
        }
        lineage.snapshots = try await snapshots(of: guest, remembering: lineage.abandoned.flatMap(\.branch.forgotten))
        guard withStrangers else { return lineage }
        let images = lineage.images
        let overlays = images.union(lineage.snapshots.flatMap(\.overlays.values))
        let (users, raw) = try await life.users(of: overlays)
        for (image, others) in try await layers.imagesLying(on: images, apartFrom: raw) {
            lineage.strangers[image, default: []].formUnion(others)
        }
        for (image, others) in users {
            lineage.strangers[image, default: []].formUnion(others)
        }
        return lineage
    }

    private func snapshots(
        of guest: GuestIdentity, remembering memories: [RegisteredSnapshot]
    ) async throws(Failure) -> [Lineage.Snapshot] {
        var registered = try await life.registeredSnapshots()
        // More than one branch can remember it.
        var memories = memories.reduce(into: [RegisteredSnapshot]()) { known, memory in
            if !(known + registered).contains(where: { $0.isSame(as: memory) }) { known.append(memory) }
        }
        var snapshots: [Lineage.Snapshot] = []
        for entry in try await catalogue.entries(of: guest) where entry.fate.isPresent {
            let members = try await catalogue.manifest(of: entry.run).members
            let snapshot = members.first { $0.domain.uuid == guest.uuid }?.snapshot
            let isInside = snapshot?.kind == .inside
            let disks = snapshot?.disks ?? []
            func isOf(_ known: RegisteredSnapshot) -> Bool {
                known.name == entry.name
                    && (known.createdAt == entry.createdAt.seconds
                        || disks.contains { known.overlays[$0.target.description] == $0.overlay })
            }
            snapshots.append(
                Lineage.Snapshot(
                    name: entry.name, entry: entry,
                    registered: registered.firstIndex(where: isOf).map { registered.remove(at: $0) },
                    memory: memories.lastIndex(where: isOf).map { memories.remove(at: $0) },
                    overlays: isInside ? [:] : disks.reduce(into: [:]) { $0[$1.target] = $1.overlay },
                    createdAt: entry.createdAt.seconds, disks: disks, isInside: isInside,
                    memoryFile: snapshot?.memory?.file))
        }
        snapshots += registered.map { Lineage.Snapshot(foreign: $0, isRemembered: false) }
        snapshots += memories.map { Lineage.Snapshot(foreign: $0, isRemembered: true) }
        // Stable where two have the same second.
        return snapshots.enumerated().sorted {
            ($0.element.createdAt, $0.offset) < ($1.element.createdAt, $1.offset)
        }.map(\.element)
    }
}

extension RegisteredSnapshot {
    /// Names can be taken again.
    fileprivate func isSame(as other: RegisteredSnapshot) -> Bool {
        name == other.name && createdAt == other.createdAt
    }
}

extension Lineage.Snapshot {
    init(foreign known: RegisteredSnapshot, isRemembered: Bool) {
        self.init(
            name: known.name, entry: nil, registered: isRemembered ? nil : known, memory: isRemembered ? known : nil,
            overlays: known.overlays.reduce(into: [:]) { overlays, disk in
                if let target = DiskTarget(disk.key) { overlays[target] = disk.value }
            }, createdAt: known.createdAt, disks: [], isInside: known.kind == .internal)
    }
}
