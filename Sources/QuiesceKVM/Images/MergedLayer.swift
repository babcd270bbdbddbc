// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import SystemPackage

/// A layer whose content has gone into the one below, on its way out.
struct MergedLayer {
    private let path: String
    private let place: String
    private let name: String
    private let trash: String

    init(path: String, run: RunID) {
        self.path = path
        (place, name) = split(path)
        // A file name has 255 bytes at most, and the prefix takes 51.
        let tail = name.utf8.count <= 200 ? name : String(name.unicodeScalars.suffix(50).map(Character.init))
        trash = ".stillpoint-trash-\(run)-\(tail)"
    }

    var identity: FileIdentity? {
        guard let status = try? Folder(real: place).status(of: name) else { return nil }
        return FileIdentity(status)
    }

    /// Removes the file; one that is gone already is fine. Begun before and interrupted: goes on from there.
    ///
    /// - Parameter going: files that are removed with it; that they lie on this one is no obstacle.
    func remove(apartFrom going: Set<FileIdentity>) throws(Failure) {
        let obstacle = try explaining("cannot remove \(path)", else: .internalError) { () throws(Errno) in
            try moveToTrash(apartFrom: going)
        }
        if let obstacle { throw obstacle }
    }

    /// Why it stays where it is; nil if it is gone.
    private func moveToTrash(apartFrom going: Set<FileIdentity>) throws(Errno) -> Failure? {
        let folder: Folder
        do throws(Errno) { folder = try Folder(real: place) } catch .noSuchFileOrDirectory { return nil }
        if let status = try folder.status(of: name) {
            guard status.type == .regular else {
                return Failure(.refused, "\(path) is not a file of ours: it is left alone")
            }
            if try folder.open(name, O_RDONLY).isOpenInQEMU() {
                return Failure(
                    .refused, "\(path) is still open in a QEMU process: it is left alone", hint: "fuser -v \(path)")
            }
            if let user = try folder.imageLying(on: FileIdentity(status), named: path, apartFrom: going) {
                return Failure(.refused, "\(user) lies on \(path): it is left alone")
            }
            try folder.rename(name, to: trash)
            try folder.sync()
            // A cut that was sent long ago may have come to it between the look and the rename; none can any more.
            if try folder.open(trash, O_RDONLY).isOpenInQEMU() {
                try folder.rename(trash, to: name)
                return Failure(.refused, "\(path) was opened by a QEMU process just now: it is left alone")
            }
        }
        try folder.unlink(trash)
        try folder.sync()
        return nil
    }
}

extension Folder {
    /// An image of this folder that has that file as its backing file. One that cannot be read counts: nothing proves
    /// that it does not.
    fileprivate func imageLying(
        on file: FileIdentity, named path: String, apartFrom going: Set<FileIdentity>
    ) throws(Errno) -> String? {
        for name in try names() {
            guard let status = try self.status(of: name), status.type == .regular else { continue }
            let identity = FileIdentity(status)
            if identity == file || going.contains(identity) { continue }
            do {
                guard let backing = try Qcow2Header(of: try open(name, O_RDONLY))?.backing else { continue }
                if backing.namesProtocol ? backing.contains(path) : self.identity(ofBacking: backing) == file {
                    return self.path(of: name)
                }
            } catch Qcow2Header.Problem.damaged {
                continue
            } catch Errno.noSuchFileOrDirectory {
                continue
            } catch {
                return self.path(of: name)
            }
        }
        return nil
    }

    private func identity(ofBacking name: String) -> FileIdentity? {
        let path = name.hasPrefix("/") ? name : self.path(of: name)
        return (try? Stat(FilePath(path))).map(FileIdentity.init)
    }
}

/// fcntl.h defines it for _GNU_SOURCE alone.
private let F_OFD_GETLK: CInt = 36

extension OpenFile {
    /// Whether any QEMU process has the image open, for reading or writing, on its own or in a backing chain: then it
    /// holds shared locks from byte 100 on, one for each permission (`RAW_LOCK_PERM_BASE`, `RAW_LOCK_SHARED_BASE` in
    /// block/file-posix.c), unless locking is switched off.
    func isOpenInQEMU() throws(Errno) -> Bool {
        var probe = flock()
        probe.l_type = Int16(F_WRLCK)
        probe.l_whence = Int16(SEEK_SET)
        probe.l_start = 100
        probe.l_len = 200
        try posix { fcntl(descriptor, F_OFD_GETLK, &probe) }
        return probe.l_type != F_UNLCK
    }
}
