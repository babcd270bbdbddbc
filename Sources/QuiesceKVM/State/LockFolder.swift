// SPDX-License-Identifier: Apache-2.0

import Glibc
import SystemPackage

extension Folder {
    /// The group whose members may use `qemu:///system`.
    private static let group = "libvirt"

    /// Opens a folder for locks, made on first use: by root for root and the group `libvirt`, by others for themselves.
    static func forLocks(_ path: String) throws(Errno) -> Folder {
        do throws(Errno) { return try Folder(path) } catch .noSuchFileOrDirectory {}
        let isShared = geteuid() == 0
        let (above, name) = split(path)
        let (root, stem) = split(above)
        let folder = try Folder(root).folder(stem, makingWith: isShared ? 0o755 : 0o700)
            .folder(name, makingWith: 0o700)
        // Set-group-id, so that a lock made by one member can be opened by the others.
        if isShared, let group = groupID { try folder.share(with: group, mode: 0o2770) }
        return folder
    }

    private static var groupID: gid_t? {
        var entry = Glibc.group()
        var text = [CChar](repeating: 0, count: 16 << 10)
        var found: UnsafeMutablePointer<Glibc.group>?
        guard getgrnam_r(group, &entry, &text, text.count, &found) == 0, found != nil else { return nil }
        return entry.gr_gid
    }
}
