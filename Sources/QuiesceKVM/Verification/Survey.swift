// SPDX-License-Identifier: Apache-2.0

/// Everything on a set of disks where a filesystem can be, as far as tables and metadata tell.
struct Survey {
    struct Place {
        let name: String
        let targets: [String]
        let volume: Volume
        var isBootCode = false
    }

    private(set) var places: [Place] = []
    /// Places that are known and cannot be looked into, with the reason.
    private(set) var closed: [FilesystemFinding] = []

    private let targets: [String]
    private let disks: [any ByteSource]

    /// Reads partition tables and LVM2 metadata of `disks`, which are named by `targets` in the same order.
    init(targets: [String], disks: [any ByteSource]) throws(ReadFailure) {
        self.targets = targets
        self.disks = disks
        var candidates: [Place] = []
        for (index, target) in targets.enumerated() where disks.indices.contains(index) {
            candidates += try divide(disk: index, target: target)
        }
        var physical: [PhysicalVolume] = []
        for place in candidates {
            let head = try place.volume.block(at: 0, count: Superblock.headSize)
            if let label = PhysicalVolumeLabel(head) {
                physical.append(
                    PhysicalVolume(place: place.name, targets: place.targets, volume: place.volume, label: label))
            } else {
                places.append(place)
            }
        }
        try assemble(physical)
    }

    private mutating func divide(disk index: Int, target: String) throws(ReadFailure) -> [Place] {
        func place(_ name: String, _ offset: UInt64, _ length: UInt64, isBootCode: Bool = false) -> Place? {
            Volume(disks: disks, disk: index, offset: offset, length: length).map {
                Place(name: name, targets: [target], volume: $0, isBootCode: isBootCode)
            }
        }
        switch try PartitionTable.read(disks[index]) {
        case .none:
            return [place(target, 0, disks[index].size)].compactMap(\.self)
        case .partitions(let partitions):
            // As the kernel names them: nvme0n1p1, but vda1.
            let stem = target.last?.isNumber == true ? target + "p" : target
            return partitions.compactMap {
                place("\(stem)\($0.number)", $0.offset, $0.length, isBootCode: $0.isBootCode)
            }
        case .damaged(let reason):
            close(target, [target], "unknown", "partition table not read: \(reason)")
            return []
        }
    }

    private mutating func assemble(_ physical: [PhysicalVolume]) throws(ReadFailure) {
        let byUUID = Dictionary(grouping: physical, by: \.label.uuid)
        let present = byUUID.compactMapValues { $0.count == 1 ? $0.first : nil }
        var newest: [String: VolumeGroup] = [:]
        var budget = PhysicalVolume.mostText
        for volume in present.values.sorted(by: { $0.label.uuid < $1.label.uuid }) {
            for group in try volume.groups(within: &budget) where group.sequence > newest[group.id]?.sequence ?? .min {
                newest[group.id] = group
            }
        }
        let groups = newest.values.sorted { ($0.name, $0.id) < ($1.name, $1.id) }
        for logical in groups.flatMap({ $0.logicalVolumes(on: present, disks: disks) }) {
            let carriers = targets.indices.filter(logical.carriers.contains).map { targets[$0] }
            switch logical.volume {
            case .success(let volume): places.append(Place(name: logical.place, targets: carriers, volume: volume))
            case .failure(let failure): close(logical.place, carriers, "unknown", failure.reason)
            }
        }
        let owned = Set(groups.flatMap(\.members.values))
        for volume in physical {
            let uuid = volume.label.uuid
            if present[uuid] == nil {
                close(volume.place, volume.targets, "LVM2_member", uuid: uuid, "another given disk has the same UUID")
            } else if !owned.contains(uuid) {
                close(
                    volume.place, volume.targets, "LVM2_member", uuid: uuid,
                    "physical volume without metadata of a volume group that could be read")
            }
        }
    }

    private mutating func close(
        _ place: String, _ targets: [String], _ kind: String, uuid: String? = nil, _ reason: String
    ) {
        closed.append(
            FilesystemFinding(
                place: place, targets: targets, kind: kind, uuid: uuid, result: .notChecked, detail: reason))
    }
}
