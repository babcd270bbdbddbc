// SPDX-License-Identifier: Apache-2.0

import Foundation
import FoundationXML
import Glibc
import Quiesce
import SystemPackage

/// A kernel or initial RAM disk that a guest boots from beside its disks.
struct BootFile: Sendable {
    /// In the copy: `kernel` or `initrd`.
    let name: String
    let path: String

    static let names = ["kernel", "initrd"]
    /// More is no kernel.
    private static let most: Int64 = 2 << 30

    /// Those that the definition names.
    static func all(of definition: String) throws(Failure) -> [BootFile] {
        let os = try DomainDefinition.root(of: definition).child("os")
        return names.compactMap { name in
            guard let path = os?.child(name)?.stringValue, path.hasPrefix("/") else { return nil }
            return BootFile(name: name, path: path)
        }
    }

    @discardableResult
    func copy(to folder: Folder) throws(Failure) -> OpenFile {
        let what = "the \(name) \(path) cannot be read"
        let file: OpenFile
        do throws(Errno) {
            file = try OpenFile(posix { open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) })
        } catch .noSuchFileOrDirectory {
            throw Failure(.noSuchThing, "\(what): it is not there")
        } catch {
            throw Failure(error, what, else: .refused)
        }
        return try Self.copy(file, what, to: folder, as: name)
    }

    /// A regular file, whole and synced; its copy.
    static func copy(
        _ file: OpenFile, _ what: String, to folder: Folder, as name: String
    ) throws(Failure) -> OpenFile {
        let isFit = try explaining(what, else: .refused) { () throws(Errno) in
            let status = try file.status()
            return status.type == .regular && status.size <= most
        }
        guard isFit else { throw Failure(.refused, "\(what): it is no file of at most \(ByteCount(most))") }
        return try explaining("cannot write \(folder.path(of: name))", else: .refused) { () throws(Errno) in
            let copy = try folder.open(name, O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
            var offset = 0
            while true {
                let bytes = try file.read(1 << 20, at: offset)
                if bytes.isEmpty { break }
                try copy.write(bytes)
                offset += bytes.count
            }
            try copy.sync()
            return copy
        }
    }
}
