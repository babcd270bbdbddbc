// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A folder of our own, mode 0700, for exported files and throw-away overlays.
struct WorkFolder: Sendable {
    let path: String

    /// Makes one below `scratch` and removes it with all that is in it, whatever happens to `body`. Removes those that a
    /// killed process has left there, too.
    static func with<Value>(
        in scratch: String, _ body: (WorkFolder) async throws(ImageCheckError) -> Value
    ) async throws(ImageCheckError) -> Value {
        for name in FolderEntries.of(scratch) where name.hasPrefix(prefix) {
            let stale = WorkFolder(path: "\(scratch)/\(name)")
            // The lock of a folder in use is taken.
            if let lock = FolderLock(stale.path) { await stale.remove(holding: lock) }
        }
        let (folder, lock) = try make(in: scratch)
        let result: Result<Value, ImageCheckError>
        do { result = .success(try await body(folder)) } catch { result = .failure(error) }
        // In a task of its own: cancellation does not reach the removal.
        await Task { await folder.remove(holding: lock) }.value
        return try result.get()
    }

    private static func make(in scratch: String) throws(ImageCheckError) -> (WorkFolder, FolderLock) {
        // Another check may take a new folder for a stale one before its lock is held, and remove it.
        for _ in 0..<10 {
            var template = Array("\(scratch)/\(prefix)XXXXXX".utf8CString)
            guard let path = mkdtemp(&template) else {
                throw .scratchUnusable(folder: scratch, reason: String(cString: strerror(errno)))
            }
            let folder = WorkFolder(path: String(cString: path))
            if let lock = FolderLock(folder.path) { return (folder, lock) }
            rmdir(folder.path)
        }
        throw .scratchUnusable(folder: scratch, reason: "its folders cannot be locked")
    }

    private static let prefix = "stillpoint-check-"

    /// An empty file in the folder; its path.
    func file(_ name: String) throws(ReadFailure) -> String {
        let path = "\(path)/\(name)"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .last("create", path) }
        close(descriptor)
        return path
    }

    /// An empty file to mount an export on.
    func exportFile(_ name: String) throws(StorageDaemonError) -> String {
        do { return try file(name) } catch { throw .notAvailable(error.reason) }
    }

    /// Bytes that an ordinary user may still write here.
    var freeSpace: UInt64 {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return 0 }
        return UInt64(status.f_bavail) * UInt64(status.f_frsize)
    }

    func remove(holding lock: FolderLock) async {
        for name in FolderEntries.of(path) { await Mountpoint.remove("\(path)/\(name)") }
        rmdir(path)
    }
}

/// The exclusive flock(2) of a folder of our own user, held until the last reference goes.
final class FolderLock: Sendable {
    private let descriptor: CInt

    /// Nil if another process has it.
    init?(_ path: String) {
        descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        var status = stat()
        guard descriptor >= 0, fstat(descriptor, &status) == 0, status.st_uid == geteuid(),
            flock(descriptor, LOCK_EX | LOCK_NB) == 0
        else { return nil }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }
}
