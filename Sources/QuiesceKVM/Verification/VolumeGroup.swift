// SPDX-License-Identifier: Apache-2.0

/// One volume group as its newest metadata describe it.
struct VolumeGroup {
    /// A logical volume that the guest can see: where it lies, or why that is not known here.
    struct LogicalVolume {
        let place: String
        /// Indices of the disks that are known to carry it.
        let carriers: Set<Int>
        let volume: Result<Volume, Unreadable>
    }

    struct Unreadable: Error {
        let reason: String
    }

    let id: String
    let name: String
    /// Counts the changes; the highest is the newest.
    let sequence: Int64
    /// UUIDs of its physical volumes, by the names that segments use for them.
    let members: [String: String]
    private let section: MetadataText.Section

    /// Nil if a field that everything hangs on is missing or has no legal form.
    init?(_ root: MetadataText.Section) {
        guard let (name, section) = root.sections.first, root.sections.count == 1, Self.isName(name),
            let id = section.text("id"), let sequence = section.integer("seqno")
        else { return nil }
        self.id = id
        self.name = name
        self.sequence = sequence
        self.section = section
        let physical = section.section("physical_volumes")?.sections ?? []
        members = physical.reduce(into: [:]) { $0[$1.name] = $1.section.text("id") }
    }

    /// Lays its visible logical volumes out on `physical`, keyed by UUID, on `disks`.
    func logicalVolumes(on physical: [String: PhysicalVolume], disks: [any ByteSource]) -> [LogicalVolume] {
        (section.section("logical_volumes")?.sections ?? []).compactMap { name, logical in
            guard Self.isName(name), logical.list("status").contains(.text("VISIBLE")) else { return nil }
            let place = "\(self.name)/\(name)"
            do throws(Unreadable) {
                let segments = try segments(of: logical, on: physical)
                guard let volume = Volume(disks: disks, segments: segments) else {
                    throw Unreadable(reason: "its segments do not fit on the disks")
                }
                return LogicalVolume(place: place, carriers: volume.carriers, volume: .success(volume))
            } catch {
                let present = logical.sections.flatMap { $0.section.stripes }.compactMap { stripe in
                    members[stripe.name].flatMap { physical[$0] }
                }
                let carriers = present.reduce(into: Set<Int>()) { $0.formUnion($1.volume.carriers) }
                return LogicalVolume(place: place, carriers: carriers, volume: .failure(error))
            }
        }
    }

    private func segments(
        of logical: MetadataText.Section, on physical: [String: PhysicalVolume]
    ) throws(Unreadable) -> [Volume.Segment] {
        guard let extent = section.bytes("extent_size"), extent > 0 else {
            throw Unreadable(reason: "the volume group names no extent size")
        }
        let parts = logical.sections.map(\.section)
        var segments: [Volume.Segment] = []
        var next: UInt64 = 0
        for part in parts.sorted(by: { $0.start < $1.start }) {
            let type = part.text("type") ?? "none"
            guard type == "striped" else {
                throw Unreadable(reason: "segment type \(ToolResult.printable(type.utf8)) cannot be read here")
            }
            let (end, overflow) = next.addingReportingOverflow(part.count)
            guard part.start == next, !overflow, let length = product(part.count, extent) else {
                throw Unreadable(reason: "its segments do not join up")
            }
            next = end
            let stripes = part.stripes
            let share = length / UInt64(max(1, stripes.count))
            let columns = try stripes.map { stripe throws(Unreadable) in
                try column(of: stripe, share: share, extent: extent, on: physical)
            }
            let chunk = stripes.count > 1 ? part.bytes("stripe_size") ?? 0 : length
            segments.append(Volume.Segment(length: length, columns: columns, chunk: chunk))
        }
        return segments
    }

    private func column(
        of stripe: MetadataText.Section.Stripe, share: UInt64, extent: UInt64, on physical: [String: PhysicalVolume]
    ) throws(Unreadable) -> Volume.Column {
        guard let uuid = members[stripe.name] else {
            throw Unreadable(reason: "a segment names a physical volume that the group does not have")
        }
        guard let carrier = physical[uuid] else {
            throw Unreadable(
                reason: "its physical volume \(ToolResult.printable(uuid.utf8)) is not on the given disks")
        }
        let description = section.section("physical_volumes")?.section(stripe.name)
        guard let data = description?.bytes("pe_start"), let offset = product(stripe.extent, extent),
            case let (start, overflow) = data.addingReportingOverflow(offset), !overflow,
            let column = carrier.column(at: start, length: share)
        else { throw Unreadable(reason: "a segment lies outside its physical volume") }
        return column
    }

    /// LVM's own rule for names.
    private static func isName(_ name: String) -> Bool {
        (1...127).contains(name.utf8.count) && !name.hasPrefix("-")
            && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "+_.-".contains($0)) }
    }
}

private func product(_ one: UInt64, _ other: UInt64) -> UInt64? {
    let (product, overflow) = one.multipliedReportingOverflow(by: other)
    return overflow ? nil : product
}

extension MetadataText.Section {
    fileprivate struct Stripe {
        let name: String
        let extent: UInt64
    }

    /// First extent and number of extents of a segment; numbers that make no sense do not join up.
    fileprivate var start: UInt64 { integer("start_extent").flatMap(UInt64.init(exactly:)) ?? .max }
    fileprivate var count: UInt64 { integer("extent_count").flatMap(UInt64.init(exactly:)) ?? .max }

    /// A number of sectors, in bytes. Sectors are 512 bytes in the metadata, whatever the disk has.
    fileprivate func bytes(_ key: String) -> UInt64? {
        integer(key).flatMap(UInt64.init(exactly:)).flatMap { product($0, 512) }
    }

    /// `stripes = ["pv0", 0, "pv1", 2560]`: names and first extents.
    fileprivate var stripes: [Stripe] {
        let items = list("stripes")
        return zip(items, items.dropFirst()).compactMap { name, extent in
            guard case .text(let name) = name, case .integer(let value) = extent, let extent = UInt64(exactly: value)
            else { return nil }
            return Stripe(name: name, extent: extent)
        }
    }
}
