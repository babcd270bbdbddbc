// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A frozen image and what it stands on, so that QEMU is told every format and finds no file by itself.
struct ImageChain: Sendable, Equatable {
    struct Layer: Sendable, Equatable {
        let path: String
        let format: Format
    }

    enum Format: String, Sendable {
        case raw, qcow2
    }

    /// Top first.
    let layers: [Layer]

    /// libvirt stops at 200 as well.
    private static let lengthLimit = 200

    /// Follows the backing files that the qcow2 headers name.
    init(of image: FrozenImage) throws(ReadFailure) {
        guard let format = Format(rawValue: image.format) else {
            throw ReadFailure(reason: "images of format \(ToolResult.printable(image.format.utf8)) are not read here")
        }
        var layers: [Layer] = []
        var next: Layer? = Layer(path: image.path, format: format)
        while let layer = next {
            guard layers.count < Self.lengthLimit else { throw ReadFailure(reason: "the backing chain has no end") }
            layers.append(layer)
            next = layer.format == .qcow2 ? try Self.backing(of: layer) : nil
        }
        self.layers = layers
    }

    private static func backing(of layer: Layer) throws(ReadFailure) -> Layer? {
        let header = try BackingReference(DiskFile(path: layer.path, followsLinks: true).block(at: 0, count: 1 << 16))
        guard let header else { throw ReadFailure(reason: "\(layer.path) is not a qcow2 image") }
        guard !header.hasDataFile else { throw ReadFailure(reason: "\(layer.path) keeps its data in another file") }
        guard let name = header.backing else { return nil }
        // A colon before the first slash makes QEMU see a protocol: nbd:…, json:….
        guard name.prefix(while: { $0 != "/" }).contains(":") == false else {
            throw ReadFailure(reason: "\(layer.path) stands on \(ToolResult.printable(name.utf8)), not on a file")
        }
        guard let format = header.backingFormat.flatMap(Format.init) else {
            throw ReadFailure(reason: "\(layer.path) does not say that its backing file is raw or qcow2")
        }
        let folder = layer.path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(
            separator: "/")
        return Layer(path: name.hasPrefix("/") ? name : "\(folder)/\(name)", format: format)
    }
}

/// The fields of a qcow2 header (QEMU's `docs/interop/qcow2.txt`) that say where else data lies.
struct BackingReference: Equatable {
    let backing: String?
    let backingFormat: String?
    let hasDataFile: Bool

    /// Nil without the magic, or if the header points outside `block`.
    init?(_ block: Block) {
        guard block.big(0, as: UInt32.self) == 0x5146_49FB else { return nil }
        let version = block.big(4, as: UInt32.self)
        guard version == 2 || version == 3 else { return nil }
        hasDataFile = version == 3 && block.big(72, as: UInt64.self) & 4 != 0
        let nameAt = Int(clamping: block.big(8, as: UInt64.self))
        let nameLength = Int(block.big(16, as: UInt32.self))
        guard nameAt <= block.bytes.count, nameLength <= 1023 else { return nil }
        backing = nameAt == 0 ? nil : String(validating: block.slice(nameAt, nameLength), as: UTF8.self)
        if nameAt != 0 && (backing ?? "").isEmpty { return nil }

        var format: String?
        var at = version == 2 ? 72 : Int(block.big(100, as: UInt32.self))
        // Extensions: type, length, data padded to 8; type 0 ends them.
        while at >= 72, at + 8 <= block.bytes.count {
            let type = block.big(at, as: UInt32.self)
            let length = Int(block.big(at + 4, as: UInt32.self))
            if type == 0 { break }
            if type == 0xE279_2ACA { format = String(decoding: block.slice(at + 8, length), as: UTF8.self) }
            at += 8 + (length + 7) & ~7
        }
        backingFormat = format
    }
}
