// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import SystemPackage

/// A folder in the making: filled under a hidden name beside its place, and there at once when it is whole and synced.
/// Nothing that is half done ever has its name.
struct NewFolder: Sendable {
    /// Where it will be: absolute, behind no link.
    let path: String
    /// Where it is filled.
    let draft: Folder
    private let parent: Folder
    private let name: String
    private let draftName: String
    /// Says to others that somebody sees to it. Nil on filesystems that cannot lock a folder.
    private let lock: FolderLock?

    /// Whether the place could be taken now: nothing there, or an empty folder.
    ///
    /// - Returns: its path, behind no link.
    @discardableResult
    static func check(_ path: String) throws(Failure) -> String {
        let (parent, name) = try place(path)
        return parent.path(of: name)
    }

    /// Gives one to `body`, to be filled and finished, and leaves nothing of it where that fails.
    static func with<Value>(
        _ path: String, mode: mode_t, _ body: (NewFolder) async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        let folder = try NewFolder(for: path, mode: mode)
        do throws(Failure) { return try await body(folder) } catch {
            folder.remove()
            throw error
        }
    }

    /// - Parameter mode: of the folder; its files have their own.
    init(for path: String, mode: mode_t) throws(Failure) {
        (parent, name) = try Self.place(path)
        self.path = parent.path(of: name)
        Self.sweep(parent)
        (draft, draftName, lock) = try Self.makeDraft(in: parent, mode)
    }

    private static func makeDraft(in parent: Folder, _ mode: mode_t) throws(Failure) -> (Folder, String, FolderLock?) {
        try explaining("cannot make a folder in \(parent.path)", else: .refused) { () throws(Errno) in
            var left = 3
            while true {
                let name = prefix + RunID.random().description
                let draft = try parent.folder(name, makingWith: mode)
                // Past the umask; not every filesystem of a backup disk has modes.
                try? draft.setMode(mode)
                let lock = FolderLock(draft.path)
                left -= 1
                // Another may have taken it for a leftover before it was locked.
                if lock != nil, try parent.status(of: name) != nil { return (draft, name, lock) }
                if left == 0 { return (draft, name, nil) }
                remove(draft, name, in: parent)
            }
        }
    }

    /// Gives it its name. What it holds has been synced.
    func finish() throws(Failure) {
        do throws(Errno) {
            try draft.sync()
            try parent.rename(draftName, to: name)
            try parent.sync()
        } catch .directoryNotEmpty, .fileExists, .notDirectory {
            throw Failure(.refused, "\(path) was made by somebody else meanwhile", hint: "name another folder")
        } catch {
            throw Failure(error, "cannot make \(path)", else: .refused)
        }
    }

    /// Takes it away with all that is in it, finished or not. Safe to call twice.
    func remove() {
        Self.remove(draft, draftName, in: parent)
        if (try? parent.status(of: name)).flatMap({ $0.map(FileIdentity.init) })
            == (try? draft.status()).map(FileIdentity.init)
        {
            Self.remove(draft, name, in: parent)
        }
    }

    private static let prefix = ".stillpoint-new-"

    private static func remove(_ folder: Folder, _ name: String, in parent: Folder) {
        for file in (try? folder.names()) ?? [] { try? folder.unlink(file) }
        _ = try? parent.removeFolder(name)
    }

    /// What a killed process has left there.
    private static func sweep(_ parent: Folder) {
        for name in (try? parent.names()) ?? [] where name.hasPrefix(prefix) {
            guard let lock = FolderLock(parent.path(of: name)), let folder = try? parent.folder(name) else { continue }
            remove(folder, name, in: parent)
            withExtendedLifetime(lock) {}
        }
    }

    private static func place(_ path: String) throws(Failure) -> (parent: Folder, name: String) {
        let path = String(try StateFolder.absolute(path).reversed().drop { $0 == "/" }.reversed())
        let (place, name) = split(path)
        guard !["", ".", ".."].contains(name), path.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
            throw Failure(.refused, "'\(ToolResult.printable(path.utf8))' is no name for a new folder")
        }
        let what = "cannot write to \(path)"
        let parent = try explaining(what, else: .refused) { () throws(Errno) in
            let parent = try Folder(real: place)
            try posix { access(parent.path, W_OK | X_OK) }
            return parent
        }
        let found = try explaining(what, else: .refused) { () throws(Errno) in try parent.status(of: name) }
        guard let found else { return (parent, name) }
        guard found.type == .directory else {
            throw Failure(.refused, "\(what): it is there already", hint: "name a folder that is not there yet")
        }
        let (isEmpty, isMounted) = try explaining(what, else: .refused) { () throws(Errno) in
            let names = try parent.folder(name)?.names() ?? []
            return (names.isEmpty, found.deviceID != (try parent.status()).deviceID)
        }
        guard isEmpty else {
            throw Failure(.refused, "\(what): something is in it", hint: "name a folder that is not there yet")
        }
        if isMounted {
            throw Failure(
                .refused, "\(what): another filesystem is mounted there", hint: "name a folder in it: \(path)/NAME")
        }
        return (parent, name)
    }
}

extension Folder {
    /// The folder behind whatever links lead there, by its real path.
    convenience init(real path: String) throws(Errno) {
        guard let real = realpath(path, nil) else { throw Errno(rawValue: errno) }
        defer { free(real) }
        try self.init(String(cString: real))
    }
}
