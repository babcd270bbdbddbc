// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A file that something may be mounted on.
enum Mountpoint {
    /// Removes the file, and the mount that a daemon which had to be killed has left on it. One that is not there is fine.
    static func remove(_ file: String) async {
        guard unlink(file) != 0, errno == EBUSY || errno == ENOTCONN else { return }
        // A mount point cannot be unlinked.
        if umount2(file, CInt(MNT_DETACH) | CInt(UMOUNT_NOFOLLOW)) != 0,
            let tool = try? Tool("fusermount3", package: "fuse3")
        {
            _ = try? await tool.run(["-u", "-z", "--", file], deadline: .now + .seconds(5))
        }
        unlink(file)
    }
}
