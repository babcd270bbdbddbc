// SPDX-License-Identifier: Apache-2.0

/// The catalogue joined with what libvirt and the images say now.
public struct ListReport: Codable, Sendable {
    public enum Standing: String, Codable, Sendable {
        /// The guest writes to its overlays.
        case current
        /// Newer overlays stand on its own.
        case below
        /// Some of its disks are merged, some are not.
        case partly
        /// Its overlays are not in use any more.
        case gone
        /// Nobody could be asked.
        case unknown
    }

    public struct Row: Codable, Sendable {
        public var domain: String
        public var uuid: String
        public var name: String
        public var run: String?
        public var createdAt: Timestamp?
        public var consistency: Consistency?
        public var disks: Int
        /// What its overlays take on the host.
        public var growthBytes: Int64?
        public var standing: Standing
        /// Made by us, or only known to libvirt.
        public var ours: Bool
        public var inLibvirt: Bool
        /// Who reads it, or is going to.
        public var uses: [String]

        /// One of ours; what the guest says of it is filled in later.
        public init(_ entry: CatalogueEntry, disks count: Int) {
            (domain, uuid, name, run) = (entry.guest.name, entry.guest.uuid, entry.name, entry.run.description)
            (createdAt, consistency, disks) = (entry.createdAt, entry.consistency, count)
            (standing, ours, inLibvirt, uses) = (.unknown, true, false, [])
        }

        /// One that only libvirt knows.
        public init(foreign name: String, of guest: GuestIdentity) {
            (domain, uuid, self.name, disks) = (guest.name, guest.uuid, name, 0)
            (standing, ours, inLibvirt, uses) = (.unknown, false, true, [])
        }
    }

    public var schema = "stillpoint.list/v1"
    public var snapshots: [Row]

    public init(snapshots: [Row]) { self.snapshots = snapshots }

    public func text(_ ink: Ink = .plain) -> String {
        guard !snapshots.isEmpty else { return "no snapshots\n" }
        var table = Table(rightAligned: [4])
        table.add(["DOMAIN", "NAME", "CUT AT", "CONSISTENCY", "GROWTH", "STANDING", ""])
        for row in snapshots {
            table.add([
                row.domain, row.name, row.createdAt?.local ?? "?", row.consistency?.rawValue ?? "unknown",
                row.growthBytes.map { "\(ByteCount($0))" } ?? "?", row.standing.rawValue,
                ([row.ours ? (row.inLibvirt ? "" : "not in virsh") : "made by virsh"] + row.uses).filter { !$0.isEmpty }
                    .joined(separator: ", "),
            ])
        }
        return table.rows.map { $0 + "\n" }.joined()
    }
}

extension ListReport.Standing {
    /// By the overlays of one snapshot and the chains the guest has now.
    public init(_ overlays: [DiskTarget: String], in disks: [DiskFacts]) {
        let depths = overlays.map { target, overlay in
            disks.first { $0.target == target }?.liveChain.firstIndex { $0.path == overlay }
        }
        let found = depths.compactMap { $0 }
        if found.isEmpty {
            self = .gone
        } else if found.count < depths.count {
            self = .partly
        } else {
            self = found.contains { $0 > 0 } ? .below : .current
        }
    }
}
