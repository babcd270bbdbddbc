// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import SystemPackage

/// Where an export is shown: a folder of the caller's alone, with files of ours in it.
struct ExportFolder: Sendable {
    let path: String
    let files: [String]

    /// Makes the folder if it is not there, and an empty file in it for each of `mounts`. Refuses a folder that another user
    /// may write to, and names that are taken.
    ///
    /// - Parameter sockets: names that something else makes.
    init(_ path: String, mounts: [String], sockets: [String]) throws(Failure) {
        let isNew = mkdir(path, 0o700) == 0
        guard isNew || errno == EEXIST else {
            throw Failure(Errno(rawValue: errno), Self.what(path), else: .refused)
        }
        do throws(Failure) {
            try Self.fill(path, mounts: mounts, sockets: sockets)
        } catch {
            if isNew { rmdir(path) }
            throw error
        }
        self.path = path
        files = mounts + sockets
    }

    private static func what(_ path: String) -> String { "cannot export to \(path)" }

    private static func fill(_ path: String, mounts: [String], sockets: [String]) throws(Failure) {
        let what = what(path)
        let folder = try explaining(what, else: .refused) { () throws(Errno) in try Folder(path) }
        guard try explaining(what, else: .refused, folder.belongsToUsAlone) else {
            throw Failure(
                .refused, "\(what): another user owns it or may write to it",
                hint: "chown \(geteuid()) \(path) && chmod 0700 \(path)")
        }
        for name in mounts + sockets {
            guard try explaining(what, else: .refused, { () throws(Errno) in try folder.status(of: name) }) == nil
            else {
                throw Failure(.refused, "\(what): \(name) is there already", hint: "name another folder")
            }
        }
        // A socket's address is short: 108 bytes with the zero at its end.
        if let long = sockets.first(where: { folder.path(of: $0).utf8.count > 107 }) {
            throw Failure(
                .refused, "\(what): the path of \(long) is longer than the 107 bytes that a socket's may have")
        }
        for (index, name) in mounts.enumerated() {
            do throws(Errno) { _ = try folder.open(name, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600) } catch {
                for made in mounts.prefix(index) { try? folder.unlink(made) }
                throw Failure(error, what, else: .refused)
            }
        }
    }

    /// Removes what was made there, dead mounts included, and the folder when it is empty then. Safe to call twice.
    static func clear(_ path: String, _ files: [String]) async {
        for name in files where !name.contains("/") { await Mountpoint.remove("\(path)/\(name)") }
        rmdir(path)
    }
}
