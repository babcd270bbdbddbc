// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A reader's share in QEMU's image locking (`block/file-posix.c`): nobody can begin to write to the image, a commit for
/// example, while this lives.
///
/// QEMU takes the same lock itself for a qcow2 that it reads, but not for a raw image that it exports.
final class ImageLock: Sendable {
    let descriptor: CInt

    /// Nil if someone writes to the image now, or forbids reading it.
    ///
    /// - Throws: the image cannot be opened, or its filesystem cannot lock.
    init?(_ path: String) throws(ReadFailure) {
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .last("open", path) }
        // QEMU's order: take first, then look whether anyone is against it.
        let mine = [Byte.uses(.read), .forbids(.write), .forbids(.resize)]
        for byte in mine where !ask(Self.setLock, F_RDLCK, byte).taken { throw .last("lock", path) }
        for byte in [Byte.uses(.write), .uses(.resize), .forbids(.read)] {
            let (taken, holder) = ask(Self.getLock, F_WRLCK, byte)
            guard taken else { throw .last("look for locks of", path) }
            guard holder == F_UNLCK else { return nil }
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    // Locks of the open file, not of the process; from the kernel's fcntl.h.
    private static let getLock: CInt = 36
    private static let setLock: CInt = 37

    /// One byte of the image stands for each permission that is used (100 and up) or not shared (200 and up).
    private enum Byte {
        case uses(Permission), forbids(Permission)

        var offset: off_t {
            switch self {
            case .uses(let permission): 100 + permission.rawValue
            case .forbids(let permission): 200 + permission.rawValue
            }
        }
    }

    /// The order of QEMU's BLK_PERM_ bits.
    private enum Permission: off_t {
        case read = 0
        case write = 1
        case resize = 3
    }

    private func ask(_ command: CInt, _ type: CInt, _ byte: Byte) -> (taken: Bool, found: CInt) {
        var lock = Glibc.flock()
        lock.l_type = Int16(type)
        lock.l_whence = Int16(SEEK_SET)
        lock.l_start = byte.offset
        lock.l_len = 1
        let status = fcntl(descriptor, command, &lock)
        return (status == 0, CInt(lock.l_type))
    }
}
