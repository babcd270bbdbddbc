// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Arguments of qemu-storage-daemon that build one disk and export it as a raw file. Every option is JSON, so a path may
/// hold anything; every driver is named, so nothing is probed.
struct ExportGraph {
    private(set) var arguments: [String] = []

    /// Adds the read-only nodes of `chain`, bottom first, and returns the name of its top.
    mutating func add(_ chain: ImageChain, named name: String) -> String {
        var below: String?
        for (index, layer) in chain.layers.enumerated().reversed() {
            let node = "\(name)-\(index)"
            // Locking on: QEMU's own guard against someone who writes, such as a commit into this image.
            blockdev([
                ("driver", .text(Self.protocolDriver(of: layer.path))), ("node-name", .text("\(node)-file")),
                ("filename", .text(layer.path)), ("read-only", .flag(true)), ("locking", .text("on")),
            ])
            var format: [(String, Item)] = [
                ("driver", .text(layer.format.rawValue)), ("node-name", .text(node)), ("read-only", .flag(true)),
                ("file", .text("\(node)-file")),
            ]
            if layer.format == .qcow2 { format.append(("backing", below.map(Item.text) ?? .null)) }
            blockdev(format)
            below = node
        }
        return below ?? name
    }

    /// Adds a writable qcow2 at `overlay` on the node `backing`, and on it the run `piece` as a node of its own.
    mutating func add(overlay: String, on backing: String, piece: Volume.Piece) -> String {
        blockdev([
            ("driver", .text("file")), ("node-name", .text("overlay-file")), ("filename", .text(overlay)),
        ])
        blockdev([
            ("driver", .text("qcow2")), ("node-name", .text("overlay")), ("file", .text("overlay-file")),
            ("backing", .text(backing)),
        ])
        blockdev([
            ("driver", .text("raw")), ("node-name", .text("piece")), ("file", .text("overlay")),
            ("offset", .number(piece.offset)), ("size", .number(piece.length)),
        ])
        return "piece"
    }

    mutating func export(_ node: String, at file: String, writable: Bool) {
        arguments += [
            "--export",
            Self.json([
                ("type", .text("fuse")), ("id", .text("export-\(node)")), ("node-name", .text(node)),
                ("mountpoint", .text(file)), ("writable", .flag(writable)), ("allow-other", .text("off")),
            ]),
        ]
    }

    /// A socket for what ``offer(_:as:)`` names after it; a reader learns which blocks hold data (`base:allocation`).
    mutating func listen(at socket: String) {
        let address = Item.object([("type", .text("unix")), ("path", .text(socket))])
        arguments += ["--nbd-server", Self.json([("addr", address)])]
    }

    /// Read-only, to any number of readers.
    mutating func offer(_ node: String, as name: String) {
        arguments += [
            "--export",
            Self.json([
                ("type", .text("nbd")), ("id", .text("export-\(node)")), ("node-name", .text(node)),
                ("name", .text(name)), ("writable", .flag(false)),
            ]),
        ]
    }

    private mutating func blockdev(_ items: [(String, Item)]) {
        arguments += ["--blockdev", Self.json(items)]
    }

    private enum Item {
        case text(String), number(UInt64), flag(Bool), null
        case object([(String, Item)])
    }

    private static func protocolDriver(of path: String) -> String {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFBLK ? "host_device" : "file"
    }

    private static func json(_ items: [(String, Item)]) -> String {
        let members = items.map { key, item in
            switch item {
            case .text(let text): "\(quoted(key)):\(quoted(text))"
            case .number(let number): "\(quoted(key)):\(number)"
            case .flag(let flag): "\(quoted(key)):\(flag)"
            case .null: "\(quoted(key)):null"
            case .object(let items): "\(quoted(key)):\(json(items))"
            }
        }
        return "{" + members.joined(separator: ",") + "}"
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\\(scalar)"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
