// SPDX-License-Identifier: Apache-2.0

/// The label and header of an LVM2 physical volume (`lib/label/label.h`, `lib/format_text/layout.h`).
struct PhysicalVolumeLabel {
    /// A metadata area: where its header lies in the physical volume, and its whole size, in bytes.
    struct Area: Equatable {
        let offset: UInt64
        let size: UInt64
    }

    /// As LVM prints it, `6-4-4-4-4-4-6`.
    let uuid: String
    let areas: [Area]

    /// Looks in the first four sectors, as LVM does. Nil without a label whose checksum is right.
    init?(_ head: Block) {
        let sectors = (0..<4).map { Block(head.slice($0 * 512, 512)) }
        guard
            let label = sectors.first(where: {
                $0.has("LABELONE", at: 0) && $0.has("LVM2 001", at: 24)
                    && Checksum.lvm.of($0.slice(20, 492)) == $0.little(16, as: UInt32.self)
            })
        else { return nil }
        let header = Int(min(label.little(20, as: UInt32.self), 512))
        guard let uuid = Self.uuid(label.slice(header, 32)) else { return nil }
        self.uuid = uuid

        // Two lists of (offset, size), each ended by an offset of 0: data areas, then metadata areas.
        var lists: [[Area]] = [[]]
        for at in stride(from: header + 40, through: 512 - 16, by: 16) where lists.count <= 2 {
            let area = Area(offset: label.little(at, as: UInt64.self), size: label.little(at + 8, as: UInt64.self))
            if area.offset == 0 { lists.append([]) } else { lists[lists.count - 1].append(area) }
        }
        areas = lists.count > 1 ? lists[1] : []
    }

    private static func uuid(_ bytes: ArraySlice<UInt8>) -> String? {
        let text = String(decoding: bytes, as: UTF8.self)
        guard text.utf8.count == 32, text.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber) }) else { return nil }
        let cuts: Set<Int> = [6, 10, 14, 18, 22, 26]
        return text.enumerated().reduce(into: "") { $0 += (cuts.contains($1.offset) ? "-" : "") + String($1.element) }
    }
}
