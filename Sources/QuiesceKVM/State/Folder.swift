// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import SystemPackage

/// A folder held open: what is done in it is done in this very folder, whatever becomes of its path meanwhile.
/// Names are single components; none is followed if it is a symbolic link.
final class Folder: Sendable {
    let path: String
    private let descriptor: CInt

    init(_ path: String) throws(Errno) {
        self.path = path
        descriptor = try posix { Glibc.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
    }

    private init(_ name: String, in parent: Folder) throws(Errno) {
        path = parent.path(of: name)
        descriptor = try posix { openat(parent.descriptor, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
    }

    deinit { Glibc.close(descriptor) }

    func path(of name: String) -> String { path == "/" ? "/\(name)" : "\(path)/\(name)" }

    func status() throws(Errno) -> Stat { try Stat(FileDescriptor(rawValue: descriptor)) }

    /// Nil if there is no such entry.
    func status(of name: String) throws(Errno) -> Stat? {
        do throws(Errno) {
            return try Stat(
                FilePath(name), relativeTo: FileDescriptor(rawValue: descriptor), flags: .symlinkNoFollow)
        } catch .noSuchFileOrDirectory {
            return nil
        }
    }

    func open(_ name: String, _ flags: CInt, mode: mode_t = 0) throws(Errno) -> OpenFile {
        try OpenFile(posix { openat(descriptor, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, mode) })
    }

    /// The subfolder, made with that mode if it is not there.
    func folder(_ name: String, makingWith mode: mode_t) throws(Errno) -> Folder {
        if mkdirat(descriptor, name, mode) != 0, errno != EEXIST { throw Errno(rawValue: errno) }
        return try Folder(name, in: self)
    }

    /// Nil if there is no such subfolder.
    func folder(_ name: String) throws(Errno) -> Folder? {
        do throws(Errno) { return try Folder(name, in: self) } catch .noSuchFileOrDirectory { return nil }
    }

    func rename(_ name: String, to other: String) throws(Errno) {
        try posix { renameat(descriptor, name, descriptor, other) }
    }

    /// Removes a file; one that is not there is fine.
    func unlink(_ name: String) throws(Errno) {
        do throws(Errno) { try posix { unlinkat(descriptor, name, 0) } } catch .noSuchFileOrDirectory {}
    }

    /// Removes a subfolder; false if something is still in it.
    @discardableResult
    func removeFolder(_ name: String) throws(Errno) -> Bool {
        do throws(Errno) {
            try posix { unlinkat(descriptor, name, AT_REMOVEDIR) }
        } catch .directoryNotEmpty {
            return false
        } catch .noSuchFileOrDirectory {}
        return true
    }

    func sync() throws(Errno) { try posix { fsync(descriptor) } }

    func share(with group: gid_t, mode: mode_t) throws(Errno) {
        try posix { fchown(descriptor, uid_t.max, group) }
        try setMode(mode)
    }

    func setMode(_ mode: mode_t) throws(Errno) { try posix { fchmod(descriptor, mode) } }

    /// All entries but `.` and `..`, in no order.
    func names() throws(Errno) -> [String] {
        // A description of its own: one that is shared would share its position too.
        let copy = try posix { openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard let stream = fdopendir(copy) else {
            Glibc.close(copy)
            throw Errno(rawValue: errno)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// The whole of a file; nil if there is none.
    func contents(of name: String) throws(Errno) -> [UInt8]? {
        do throws(Errno) {
            let file = try open(name, O_RDONLY)
            return try file.read(Int(clamping: file.status().size))
        } catch .noSuchFileOrDirectory {
            return nil
        }
    }

    /// Writes a file so that after a crash there is all of it or what was there before: a new file, synced, renamed
    /// over the old one, and the folder synced.
    func write(_ bytes: [UInt8], as name: String, mode: mode_t = 0o600) throws(Errno) {
        let draft = ".\(name).new"
        try unlink(draft)
        do throws(Errno) {
            let file = try open(draft, O_WRONLY | O_CREAT | O_EXCL, mode: mode)
            try file.write(bytes)
            try file.sync()
            try rename(draft, to: name)
        } catch {
            try? unlink(draft)
            throw error
        }
        try sync()
    }
}

/// The folder part and the last component of an absolute path.
func split(_ path: String) -> (folder: String, name: String) {
    guard let slash = path.lastIndex(of: "/") else { return (".", path) }
    let folder = path[..<slash]
    return (folder.isEmpty ? "/" : String(folder), String(path[path.index(after: slash)...]))
}
