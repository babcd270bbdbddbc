// SPDX-License-Identifier: Apache-2.0

import Glibc
public import Quiesce
import SystemPackage

/// The right to change one guest, held by one process at a time on this host, whatever state folder it uses. Given back
/// by ``release()``, when it is let go, and by the kernel when the process dies; children do not inherit it.
public final class GuestLock: Sendable {
    /// `/run/stillpoint/lock` for `qemu:///system`, whose users share their guests; else
    /// `$XDG_RUNTIME_DIR/stillpoint/lock`, else in the state folder.
    public static func folder(of uri: String, state: StateFolder) -> String {
        folder(of: uri, state: state, environment: absolutePath)
    }

    static func folder(of uri: String, state: StateFolder, environment: Environment) -> String {
        if uri == "qemu:///system" { return "/run/stillpoint/lock" }
        if geteuid() != 0, let runtime = environment("XDG_RUNTIME_DIR") {
            return runtime + "/stillpoint/lock"
        }
        return state.path + "/lock"
    }

    private let file: OpenFile

    /// Takes the lock of that guest.
    ///
    /// - Parameters:
    ///   - command: what the holder is doing, for whoever finds the lock taken.
    ///   - wait: how long to go on asking; `.busy`, with the holder's name, at the end of it.
    public init(
        of guest: GuestIdentity, in path: String, for command: String, waiting wait: Duration = .zero, time: any Time
    ) async throws(Failure) {
        guard Self.isUUID(guest.uuid) else {
            throw Failure(.internalError, "\(guest.name): '\(ToolResult.printable(guest.uuid.utf8))' is no UUID")
        }
        let end = time.now + wait
        let file = try explaining("cannot lock \(guest.name) in \(path)", else: .internalError) { () throws(Errno) in
            let file = try Folder.forLocks(path).open(guest.uuid.lowercased(), O_RDWR | O_CREAT, mode: 0o660)
            // The umask takes the group's right away; one that another made is as it should be.
            _ = fchmod(file.descriptor, 0o660)
            return file
        }
        while !(try explaining("cannot lock \(guest.name)", else: .internalError, file.lock)) {
            guard time.now < end else {
                throw Failure(.busy, "\(guest.name) is busy: \(Self.holder(in: file))", hint: "--wait 30s")
            }
            await time.sleep(until: min(end, time.now + .milliseconds(100)))
            if Task.isCancelled { throw Failure(.interrupted, "\(guest.name): interrupted while waiting for its lock") }
        }
        // Only for people: the lock counts, not what the file says.
        _ = ftruncate(file.descriptor, 0)
        try? file.write(Array("process \(getpid()): \(command)\n".utf8))
        self.file = file
    }

    /// Gives the lock back. The file stays: removing it would let two processes hold it at once.
    public func release() {
        _ = ftruncate(file.descriptor, 0)
        _ = flock(file.descriptor, LOCK_UN)
    }

    deinit { release() }

    private static func holder(in file: OpenFile) -> String {
        guard let text = try? file.read(200), let line = text.split(separator: 0x0A).first else {
            return "another stillpoint"
        }
        return ToolResult.printable(line)
    }

    private static func isUUID(_ text: String) -> Bool {
        let groups = text.split(separator: "-", omittingEmptySubsequences: false)
        return groups.map(\.utf8.count) == [8, 4, 4, 4, 12]
            && groups.joined().utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0 | 0x20) }
    }
}

extension OpenFile {
    /// False if another holds it.
    fileprivate func lock() throws(Errno) -> Bool {
        do throws(Errno) { try posix { flock(descriptor, LOCK_EX | LOCK_NB) } } catch .wouldBlock { return false }
        return true
    }
}
