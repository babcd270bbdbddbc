// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import SystemPackage

/// A folder of hooks that only root can have filled: what is in it runs as root in the guests.
struct HookFolder {
    let path: String
    private let folder: Folder
    private let owner: uid_t

    /// Nil if there is no such folder. Every folder on the way to it is looked at too, and none is a symbolic link.
    ///
    /// - Parameters:
    ///   - owner: who has to own it all.
    ///   - base: from where on.
    init?(_ path: String, owner: uid_t = 0, below base: String = "/") throws(Failure) {
        var folder = try Self.explaining(base) { () throws(Errno) in try Folder(base) }
        try Self.check(folder, owner, for: path)
        for name in path.dropFirst(base.count).split(separator: "/") {
            let parent = folder
            let next = try Self.explaining(parent.path(of: String(name))) { () throws(Errno) in
                try parent.folder(String(name))
            }
            guard let next else { return nil }
            try Self.check(next, owner, for: path)
            folder = next
        }
        self.path = path
        self.folder = folder
        self.owner = owner
    }

    /// The files that have a hook's name. What else lies there (`mysql.dpkg-old`, `README.md`) is none.
    func names() throws(Failure) -> [String] {
        try Self.explaining(path) { () throws(Errno) in try folder.names() }.filter(HookCatalogue.isHookName).sorted()
    }

    /// Nil if there is no such file. It is opened once, and what is read is what was looked at.
    func read(_ name: String) throws(Failure) -> [UInt8]? {
        let place = folder.path(of: name)
        let file: OpenFile
        do throws(Errno) {
            file = try folder.open(name, O_RDONLY)
        } catch .noSuchFileOrDirectory {
            return nil
        } catch .tooManySymbolicLinkLevels {
            throw Failure(.notPermitted, "\(place): a symbolic link, and hooks are plain files")
        } catch {
            throw Failure(error, "cannot read \(place)", else: .configuration)
        }
        let status = try Self.explaining(place) { () throws(Errno) in try file.status() }
        guard status.rawValue.st_mode & S_IFMT == S_IFREG else {
            throw Failure(.configuration, "\(place): not a plain file")
        }
        try Self.check(status, owner, place, for: place)
        let bytes = try Self.explaining(place) { () throws(Errno) in try file.read(HookCatalogue.largest + 1) }
        guard bytes.count <= HookCatalogue.largest else { throw HookCatalogue.tooLarge(place) }
        return bytes
    }

    private static func check(_ folder: Folder, _ owner: uid_t, for wanted: String) throws(Failure) {
        let status = try explaining(folder.path) { () throws(Errno) in try folder.status() }
        try check(status, owner, folder.path, for: wanted)
    }

    private static func check(_ status: Stat, _ owner: uid_t, _ place: String, for wanted: String) throws(Failure) {
        let said = place == wanted ? place : "\(wanted): \(place)"
        guard status.userID.rawValue == owner else {
            throw Failure(
                .notPermitted, "\(said) belongs to user \(status.userID.rawValue), and hooks run as root in guests",
                hint: "chown \(owner == 0 ? "root" : "\(owner)") \(place)")
        }
        guard status.rawValue.st_mode & 0o022 == 0 else {
            throw Failure(
                .notPermitted, "\(said) may be written to by others than its owner, and hooks run as root in guests",
                hint: "chmod go-w \(place)")
        }
    }

    private static func explaining<Value>(
        _ place: String, _ body: () throws(Errno) -> Value
    ) throws(Failure) -> Value {
        do throws(Errno) {
            return try body()
        } catch .tooManySymbolicLinkLevels {
            throw Failure(.notPermitted, "\(place): a symbolic link on the way to hooks")
        } catch .notDirectory {
            // What O_DIRECTORY and O_NOFOLLOW say together of a link.
            throw Failure(.notPermitted, "\(place): not a folder, or a symbolic link, on the way to hooks")
        } catch {
            throw Failure(error, "cannot read \(place)", else: .configuration)
        }
    }
}
