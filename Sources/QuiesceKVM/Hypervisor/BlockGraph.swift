// SPDX-License-Identifier: Apache-2.0

import JSON
import Quiesce

/// QEMU's own view of its disks (`query-block`): the truth that libvirt's XML is held against.
struct BlockGraph {
    struct Disk {
        /// Newest first.
        var chain: [ImageLayer]
        var virtualSizeBytes: Int64?
    }

    static let request = #"{"execute":"query-block"}"#
    /// QEMU nests one object a layer.
    private static let limits = JSONLimits(bytes: 16 << 20, depth: 64)
    /// Nodes that libvirt puts on top of a disk's images (`copy_on_read='on'`, a throttle, a backup): no layers.
    private static let filters: Set = ["copy-on-read", "throttle", "copy-before-write"]

    private var disks: [String: Disk] = [:]

    init(reply: String) throws(Failure) {
        let devices: [JSONValue]
        do throws(JSONError) {
            devices = try JSONValue(parsing: reply, limits: Self.limits)["return"]?.array ?? []
        } catch {
            throw Failure(.internalError, "QEMU's answer to query-block cannot be read: \(error)")
        }
        for device in devices {
            guard let name = device["qdev"]?.string, let inserted = device["inserted"] else { continue }
            let image = inserted["image"]
            disks[Self.alias(of: name)] = Disk(
                chain: Self.chain(from: image), virtualSizeBytes: image?["virtual-size"]?.integer)
        }
    }

    func disk(alias: String) -> Disk? { disks[alias] }

    /// `/machine/peripheral/virtio-disk0/virtio-backend` or `ide0-0-1`.
    private static func alias(of device: String) -> String {
        let parts = device.split(separator: "/")
        guard let index = parts.firstIndex(of: "peripheral"), parts.indices.contains(index + 1) else { return device }
        return String(parts[index + 1])
    }

    private static func chain(from image: JSONValue?) -> [ImageLayer] {
        var layers: [ImageLayer] = []
        var next = image
        while let layer = next, layers.count < 256 {
            let format = layer["format"]?.string ?? "?"
            if let name = layer["filename"]?.string, !filters.contains(format) {
                layers.append(ImageLayer(path: path(of: name), format: format))
            }
            next = layer["backing-image"]
        }
        return layers
    }

    /// QEMU writes a file it opened by options as `json:{…}`; the plain path is inside, beside all the layers below it.
    private static func path(of name: String) -> String {
        guard name.hasPrefix("json:"),
            let options = try? JSONValue(parsing: String(name.dropFirst(5)), limits: limits)
        else { return name }
        var next: JSONValue? = options
        while let node = next {
            if let path = node["filename"]?.string { return path }
            next = node["file"]
        }
        return name
    }
}
