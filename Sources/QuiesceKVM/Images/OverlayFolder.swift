// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import SystemPackage

extension Folder {
    /// Opens the folder of a new overlay, if nobody but root, the caller or the owner of the base's folder can exchange
    /// files in it and the path means the same to everyone: no `.`, no `..`, no symbolic link on the way. libvirt takes
    /// all three and keeps the path as it was written (measured on 9.0).
    convenience init(forOverlay path: String, on base: String) throws(Failure) {
        let place = split(path).folder
        try Self.checkSpelling(path)
        do throws(Errno) { try self.init(place) } catch .notDirectory, .tooManySymbolicLinkLevels {
            throw Failure(.refused, "\(place) is not a folder", hint: Self.linkHint(place))
        } catch {
            throw Failure(error, "cannot open the folder \(place)", else: .refused)
        }
        if let link = Self.link(on: place) {
            throw Failure(
                .refused, "\(link) is a symbolic link: an overlay's path is kept for long and must not depend on one",
                hint: Self.linkHint(place))
        }
        try checkOwner(base)
    }

    private static func checkSpelling(_ path: String) throws(Failure) {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard path.hasPrefix("/"), parts.dropFirst().allSatisfy({ !["", ".", ".."].contains($0) }) else {
            throw Failure(.refused, "\(path): an overlay's path is absolute, without '.', '..' and doubled slashes")
        }
        guard path.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
            throw Failure(.refused, "an overlay's path has a control character in it")
        }
    }

    /// The first component that is a symbolic link.
    private static func link(on path: String) -> String? {
        var walked = ""
        for part in path.split(separator: "/") {
            walked += "/\(part)"
            if let status = try? Stat(FilePath(walked), followTargetSymlink: false), status.type == .symbolicLink {
                return walked
            }
        }
        return nil
    }

    private static func linkHint(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return "name its real place: --diskspec DISK,file=\(String(cString: real))/NAME"
    }

    private func checkOwner(_ base: String) throws(Failure) {
        let status = try explaining("cannot look at the folder \(path)", else: .refused) { () throws(Errno) in
            try self.status()
        }
        if status.permissions.contains(.otherWrite), !status.permissions.contains(.saveText) {
            throw Failure(.refused, "everybody may exchange files in \(path)", hint: "chmod o-w \(path)")
        }
        var trusted: Set<UInt32> = [0, geteuid()]
        if let owner = try? Stat(FilePath(split(base).folder)).userID.rawValue { trusted.insert(owner) }
        guard trusted.contains(status.userID.rawValue) else {
            throw Failure(.refused, "\(path) belongs to user \(status.userID.rawValue), who could exchange the overlay")
        }
    }
}
