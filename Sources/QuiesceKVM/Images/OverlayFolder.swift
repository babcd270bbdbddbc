// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import SystemPackage

extension Folder {
    /// Opens the folder of a new overlay, if nobody but root, the caller or the owner of the base's folder can exchange
    /// files in it and the path means the same to everyone: no `.`, no `..`, no symbolic link on the way. libvirt takes
    /// all three and keeps the path as it was written (measured on 9.0). The base's own folder may lie behind links of
    /// root's, as `/var/lib/libvirt/images` often does: the guest depends on them already.
    convenience init(forOverlay path: String, on base: String) throws(Failure) {
        let place = split(path).folder
        try Self.checkSpelling(path)
        let isBaseFolder = place == split(base).folder
        let links = Self.links(on: place)
        let trusted = isBaseFolder && links.allSatisfy(\.isRoots) ? Self.real(place) : nil
        do throws(Errno) { try self.init(trusted ?? place) } catch .notDirectory, .tooManySymbolicLinkLevels {
            throw Failure(.refused, "\(place) is not a folder", hint: Self.linkHint(place))
        } catch {
            throw Failure(error, "cannot open the folder \(place)", else: .refused)
        }
        if trusted == nil, let link = links.first?.path {
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

    /// The components that are symbolic links.
    private static func links(on path: String) -> [(path: String, isRoots: Bool)] {
        var links: [(path: String, isRoots: Bool)] = []
        var walked = ""
        for part in path.split(separator: "/") {
            walked += "/\(part)"
            if let status = try? Stat(FilePath(walked), followTargetSymlink: false), status.type == .symbolicLink {
                links.append((walked, status.userID.rawValue == 0))
            }
        }
        return links
    }

    private static func real(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }

    private static func linkHint(_ path: String) -> String? {
        real(path).map { "name its real place: --diskspec DISK,file=\($0)/NAME" }
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
