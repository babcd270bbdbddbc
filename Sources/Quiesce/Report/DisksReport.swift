// SPDX-License-Identifier: Apache-2.0

/// domblklist, domfsinfo and qemu-img info in one.
public struct DisksReport: Codable, Sendable {
    public struct Disk: Codable, Sendable {
        public struct Layer: Codable, Sendable {
            public var path: String
            public var format: String
            /// Bytes the file takes on the host: how far an overlay has grown.
            public var allocatedBytes: Int64?
        }

        public struct Mount: Codable, Sendable {
            public var mountpoint: String
            public var type: String
            public var usedBytes: Int64?
            public var totalBytes: Int64?
        }

        public var target: DiskTarget
        public var device: String
        public var source: String
        public var virtualSizeBytes: Int64?
        /// Newest first.
        public var chain: [Layer]
        public var filesystems: [Mount]
        /// QEMU, the running and the saved definition tell the same story.
        public var agrees: Bool
    }

    public var schema = "stillpoint.disks/v1"
    public var domain: GuestIdentity
    public var disks: [Disk]

    public init(_ facts: GuestFacts, allocated: [String: Int64]) {
        domain = facts.guest
        let filesystems = facts.agent.report?.filesystems ?? []
        disks = facts.disks.map { disk in
            Disk(
                target: disk.target, device: disk.device.rawValue, source: Self.word(disk.source),
                virtualSizeBytes: disk.virtualSizeBytes,
                chain: disk.liveChain.map {
                    .init(path: $0.path, format: $0.format, allocatedBytes: allocated[$0.path])
                },
                filesystems: filesystems.filter { $0.targets.contains(disk.target) }.map {
                    .init(mountpoint: $0.mountpoint, type: $0.type, usedBytes: $0.usedBytes, totalBytes: $0.totalBytes)
                }, agrees: disk.disagreement == nil)
        }
    }

    public func text(_ ink: Ink = .plain) -> String {
        var page = Page(label: 6)
        page.line(ink.bold(domain.name))
        for disk in disks {
            page.gap()
            let size = disk.virtualSizeBytes.map { "\(ByteCount($0))" } ?? "?"
            page.rows(
                ink.bold(disk.target.description.padded(to: 6)),
                [
                    "\(size)   \(disk.device), \(disk.source)\(disk.agrees ? "" : "   QEMU and libvirt disagree: see doctor")"
                ])
            for (index, layer) in disk.chain.enumerated() {
                let taken = layer.allocatedBytes.map { "\(ByteCount($0)) on the host" } ?? ""
                page.rows("", ["\(index == 0 ? "writes" : "  over") \(layer.path)   \(layer.format)   \(taken)"])
            }
            for mount in disk.filesystems {
                let use =
                    mount.usedBytes.flatMap { used in
                        mount.totalBytes.map { "\(ByteCount(used)) of \(ByteCount($0)) used" }
                    } ?? ""
                page.rows("", ["   \(mount.mountpoint)   \(mount.type)   \(use)"])
            }
        }
        return page.text
    }

    private static func word(_ source: DiskFacts.Source) -> String {
        switch source {
        case .none: "no medium"
        case .file: "file"
        case .block: "block device"
        case .volume: "pool volume"
        case .network(let kind): "network (\(kind))"
        case .other(let kind): kind
        }
    }
}
