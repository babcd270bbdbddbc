// SPDX-License-Identifier: Apache-2.0

/// Where the overlays go: beside their base, the base's last suffix replaced by the snapshot's name, as libvirt does.
struct OverlayNames {
    private var paths: [DiskTarget: String] = [:]
    private(set) var findings: [Finding] = []

    init(for disks: [DiskFacts], named name: SnapshotName, files: [DiskTarget: String] = [:]) {
        for disk in disks {
            guard let base = disk.activeImage?.path else { continue }
            var path = files[disk.target] ?? Self.sibling(of: base, suffix: name.description)
            if files[disk.target] == nil, paths.values.contains(path) || path == base {
                // Two images that differ in their suffix alone: the disk's name tells them apart.
                path = Self.sibling(of: base, suffix: "\(disk.target).\(name)")
            }
            if paths.values.contains(path) {
                findings.append(
                    Finding(.refuses(.refused), "overlay.twice", "two disks would share the overlay \(path)"))
            }
            paths[disk.target] = path
        }
    }

    /// For images a guest goes back to: named after them, in the folders where its overlays lie.
    init(onto frozen: [DiskTarget: [ImageLayer]], beside overlays: [DiskTarget: String], suffix: String) {
        for (target, chain) in frozen.sorted(by: { $0.key < $1.key }) {
            guard let base = chain.first?.path, let overlay = overlays[target] else { continue }
            let image = Self.folder(of: overlay) + "/" + (base.split(separator: "/").last.map(String.init) ?? base)
            let path = Self.sibling(of: image, suffix: suffix)
            paths[target] = paths.values.contains(path) ? Self.sibling(of: image, suffix: "\(target).\(suffix)") : path
        }
    }

    func path(for target: DiskTarget) -> String? { paths[target] }

    var folders: Set<String> { Set(paths.values.map(Self.folder)) }

    static func folder(of path: String) -> String {
        let end = path.lastIndex(of: "/") ?? path.startIndex
        return end == path.startIndex ? "/" : String(path[..<end])
    }

    private static func sibling(of base: String, suffix: String) -> String {
        let file = base.split(separator: "/", omittingEmptySubsequences: true).last.map(String.init) ?? base
        var stem = file
        if let dot = file.lastIndex(of: "."), dot != file.startIndex { stem = String(file[..<dot]) }
        let folder = folder(of: base)
        return (folder == "/" ? "/" : folder + "/") + stem + "." + suffix
    }
}
