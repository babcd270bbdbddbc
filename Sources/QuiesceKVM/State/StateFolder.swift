// SPDX-License-Identifier: Apache-2.0

import Glibc
public import Quiesce
import SystemPackage

/// Where one user's journal, catalogue and manifests lie: `/var/lib/stillpoint` for root,
/// `$XDG_STATE_HOME/stillpoint` or `~/.local/state/stillpoint` for others, or wherever `--state-dir` says.
public struct StateFolder: Sendable {
    public var path: String { folder.path }

    let folder: Folder

    /// Opens the folder, and makes it on first use. Refuses one that another user could have put something into.
    public init(_ chosen: String? = nil) throws(Failure) {
        let path = if let chosen { try Self.absolute(chosen) } else { try Self.standard(absolutePath) }
        try self.init(at: path)
    }

    init(at path: String) throws(Failure) {
        try Self.make(path)
        let what = "cannot use the state folder \(path)"
        do throws(Errno) { folder = try Folder(path) } catch .notDirectory {
            throw Failure(.configuration, "\(what): it is not a folder, or a symbolic link")
        } catch {
            throw Failure(error, what, else: .internalError)
        }
        guard try explaining(what, else: .internalError, folder.belongsToUsAlone) else {
            throw Failure(
                .configuration, "\(what): another user owns it or may write to it",
                hint: "chown \(geteuid()) \(path) && chmod 0700 \(path)")
        }
    }

    static func absolute(_ path: String) throws(Failure) -> String {
        if path.hasPrefix("/") { return path }
        guard let here = getcwd(nil, 0) else {
            throw Failure(.configuration, "\(path): the current folder is gone")
        }
        defer { free(here) }
        return String(cString: here) + "/" + path
    }

    static func standard(_ environment: Environment, user: uid_t = geteuid()) throws(Failure) -> String {
        if user == 0 { return "/var/lib/stillpoint" }
        if let state = environment("XDG_STATE_HOME") { return state + "/stillpoint" }
        guard let home = environment("HOME") else {
            throw Failure(.configuration, "HOME is not set: nothing says where to keep state", hint: "--state-dir DIR")
        }
        return home + "/.local/state/stillpoint"
    }

    private static func make(_ path: String) throws(Failure) {
        var walked = ""
        for part in path.split(separator: "/") {
            walked += "/\(part)"
            if mkdir(walked, 0o700) != 0, errno != EEXIST {
                throw Failure(Errno(rawValue: errno), "cannot make the state folder \(walked)", else: .internalError)
            }
        }
    }
}

extension Folder {
    /// Whether it is the caller's, and nobody else can put anything into it.
    func belongsToUsAlone() throws(Errno) -> Bool {
        let status = try status()
        return status.userID.rawValue == geteuid() && status.rawValue.st_mode & 0o022 == 0
    }
}
