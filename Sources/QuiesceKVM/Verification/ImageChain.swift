// SPDX-License-Identifier: Apache-2.0

import Quiesce

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

    /// Every path that the headers name, as far as they can be read: what stands on an image is to be known even where QEMU
    /// would not open it, as without a format.
    static func paths(from image: ImageLayer) -> [String] {
        var paths = [image.path]
        var mayLieOnAnother = image.format != Format.raw.rawValue
        while mayLieOnAnother, paths.count < lengthLimit, let last = paths.last,
            let header = try? Qcow2Header(at: last), let name = header.backing, !name.namesProtocol
        {
            paths.append(path(of: name, named: last))
            mayLieOnAnother = header.backingFormat != Format.raw.rawValue
        }
        return paths
    }

    private static func path(of backing: String, named image: String) -> String {
        let folder = image.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        return backing.hasPrefix("/") ? backing : "\(folder)/\(backing)"
    }

    private static func backing(of layer: Layer) throws(ReadFailure) -> Layer? {
        let header: Qcow2Header
        do throws(Failure) { header = try Qcow2Header(at: layer.path) } catch {
            throw ReadFailure(reason: error.message)
        }
        guard !header.hasDataFile else { throw ReadFailure(reason: "\(layer.path) keeps its data in another file") }
        guard let name = header.backing else { return nil }
        guard !name.namesProtocol else {
            throw ReadFailure(reason: "\(layer.path) stands on \(ToolResult.printable(name.utf8)), not on a file")
        }
        guard let format = header.backingFormat.flatMap(Format.init) else {
            throw ReadFailure(reason: "\(layer.path) does not say that its backing file is raw or qcow2")
        }
        return Layer(path: path(of: name, named: layer.path), format: format)
    }
}
