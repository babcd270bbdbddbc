// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import SystemPackage

/// One overlay in the making: a file that this run made itself, known by its inode and not by its name.
struct NewOverlay: Sendable {
    let disk: MemberPlan.Disk
    let folder: Folder
    private let name: String
    private let identity: FileIdentity

    /// Whether the name could be taken now.
    static func check(_ disk: MemberPlan.Disk) throws(Failure) {
        let folder = try Folder(forOverlay: disk.overlay, on: disk.base.path)
        let found = try explaining("cannot look at \(disk.overlay)", else: .refused) { () throws(Errno) in
            try folder.status(of: split(disk.overlay).name)
        }
        if found != nil { throw .exists(disk.overlay) }
    }

    /// Takes the name, with an empty file that is the caller's alone.
    init(for disk: MemberPlan.Disk) throws(Failure) {
        self.disk = disk
        folder = try Folder(forOverlay: disk.overlay, on: disk.base.path)
        name = split(disk.overlay).name
        do throws(Errno) {
            let file = try folder.open(name, O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
            identity = FileIdentity(try file.status())
        } catch .fileExists {
            throw .exists(disk.overlay)
        } catch {
            throw Failure(error, "cannot make \(disk.overlay)", else: .refused)
        }
    }

    /// Makes it an overlay of its base, in place, and proves it by reading it back.
    func fill(with images: QemuImages) async throws(Failure) {
        let layout = try ClusterLayout(of: disk.base)
        try await format(layout, with: images.qemuImg)
        try finish()
        let header = try await images.header(of: ImageLayer(path: disk.overlay, format: "qcow2"))
        if let difference = header.difference(from: disk) ?? layout.difference(from: header) {
            throw Failure(.refused, "\(disk.overlay) came out wrong: \(difference)")
        }
    }

    /// Takes the file away again, if the name still stands for this very file; false if it is still there.
    func remove() -> Bool {
        do throws(Errno) {
            guard let status = try folder.status(of: name), FileIdentity(status) == identity else { return true }
            try folder.unlink(name)
            try folder.sync()
            return true
        } catch {
            return false
        }
    }

    private func format(_ layout: ClusterLayout, with qemuImg: Tool) async throws(Failure) {
        let result: ToolResult
        do throws(ToolError) {
            result = try await qemuImg.run(
                // -u: the base is the running guest's, and not to be opened.
                ["create", "-q", "-f", "qcow2", "-u", "-b", disk.base.path, "-F", disk.base.format]
                    + ["-o", layout.options, "--", disk.overlay, "\(disk.virtualSizeBytes)"],
                deadline: .now + QemuImages.patience)
        } catch {
            throw Failure(error, "cannot make \(disk.overlay)")
        }
        if result.succeeded { return }
        if String(decoding: result.errors, as: UTF8.self).contains("No space left on device") {
            throw Failure(.noSpace, "cannot make \(disk.overlay)", else: .refused)
        }
        throw Failure(.refused, "cannot make \(disk.overlay): \(result.reason)")
    }

    /// Its tables, the base's owner and mode, then everything onto the disk.
    private func finish() throws(Failure) {
        let isOurs = try explaining(
            "cannot make \(disk.overlay) ready for use", else: .refused
        ) { () throws(Errno) in
            let file = try folder.open(name, O_RDWR)
            let now = try file.status()
            guard FileIdentity(now) == identity else { return false }
            try MappingTables.prepare(in: file)
            let base = try Stat(FilePath(disk.base.path))
            if now.userID != base.userID || now.groupID != base.groupID {
                try posix { fchown(file.descriptor, base.userID.rawValue, base.groupID.rawValue) }
            }
            try posix { fchmod(file.descriptor, base.rawValue.st_mode & 0o777) }
            try file.sync()
            return true
        }
        if !isOurs { throw Failure(.refused, "\(disk.overlay) was exchanged while it was made") }
    }
}

/// How an overlay divides its space: as a qcow2 base does, so that a merge moves whole clusters.
private struct ClusterLayout {
    var size: Int64 = 64 << 10
    var isExtended = false

    init(of base: ImageLayer) throws(Failure) {
        guard base.format == "qcow2" else { return }
        let header = try Qcow2Header(at: base.path)
        size = header.clusterSizeBytes
        isExtended = header.hasExtendedL2
    }

    var options: String { "cluster_size=\(size)" + (isExtended ? ",extended_l2=on" : "") }

    func difference(from header: ImageHeader) -> String? {
        guard header.clusterSizeBytes == size, header.hasExtendedL2 == isExtended else {
            return "its clusters are \(header.clusterSizeBytes ?? 0) bytes, \(size) were asked for"
        }
        return nil
    }
}

extension Failure {
    fileprivate static func exists(_ overlay: String) -> Failure {
        Failure(
            .refused, "\(overlay) exists already",
            hint: "choose another --name, or remove the file if no guest uses it")
    }
}
