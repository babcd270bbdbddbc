// SPDX-License-Identifier: Apache-2.0

import Glibc
public import Quiesce
import Synchronization
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
        if uri.prefix(while: { $0 != "?" }) == "qemu:///system" { return "/run/stillpoint/lock" }
        if geteuid() != 0, let runtime = environment("XDG_RUNTIME_DIR") {
            return runtime + "/stillpoint/lock"
        }
        return state.path + "/lock"
    }

    /// Nil when it has been given back.
    private let file: Mutex<OpenFile?>

    /// Takes the lock of that guest.
    ///
    /// - Parameters:
    ///   - command: what the holder is doing, for whoever finds the lock taken.
    ///   - wait: how long to go on asking; `.busy`, with the holder's name, at the end of it.
    public init(
        of guest: GuestIdentity, in path: String, for command: String, waiting wait: Duration = .zero, time: any Time,
        interruption: Interruption? = nil
    ) async throws(Failure) {
        let name = try Self.fileName(of: guest)
        let begin = time.now
        let file = try explaining("cannot lock \(guest.name) in \(path)", else: .internalError) { () throws(Errno) in
            let file = try Folder.forLocks(path).open(name, O_RDWR | O_CREAT, mode: 0o660)
            // The umask takes the group's right away; one that another made is as it should be.
            _ = fchmod(file.descriptor, 0o660)
            return file
        }
        func isTaken() throws(Failure) -> Bool {
            try explaining("cannot lock \(guest.name)", else: .internalError) { () throws(Errno) in
                try !file.lock(LOCK_EX)
            }
        }
        while try isTaken() {
            let holder = Self.holder(in: file)
            // Without a name it is somebody who only looks, or has not yet written who they are: gone or told soon.
            let end = begin + (holder == nil ? max(wait, .milliseconds(500)) : wait)
            guard time.now < end else {
                throw Failure(.busy, "\(guest.name) is busy: \(holder ?? "another stillpoint")", hint: "--wait 30s")
            }
            await time.sleep(until: min(end, time.now + .milliseconds(100)))
            if let status = interruption?.status ?? (Task.isCancelled ? .interrupted : nil) {
                throw Failure(status, "\(guest.name): interrupted while waiting for its lock")
            }
        }
        // Only for people: the lock counts, not what the file says.
        _ = ftruncate(file.descriptor, 0)
        try? file.write(Array("process \(getpid()): \(command)\n".utf8))
        self.file = Mutex(file)
    }

    /// For a child that is to hold on to it.
    var descriptor: CInt? { file.withLock { $0?.descriptor } }

    /// Gives the lock back. The file stays: removing it would let two processes hold it at once.
    public func release() {
        file.withLock { file in
            guard let held = file else { return }
            _ = ftruncate(held.descriptor, 0)
            // Said, not only closed: a child that is just being started has a copy until it becomes its program.
            _ = flock(held.descriptor, LOCK_UN)
            file = nil
        }
    }

    deinit { release() }

    /// Who holds the lock of that guest: `process 4711: snapshot db01`; nil if nobody does. Takes nothing away.
    public static func holder(of guest: GuestIdentity, in path: String) throws(Failure) -> String? {
        let name = try fileName(of: guest)
        return try explaining("cannot look at the lock of \(guest.name)", else: .internalError) { () throws(Errno) in
            let file: OpenFile
            do throws(Errno) {
                file = try Folder(path).open(name, O_RDONLY)
            } catch .noSuchFileOrDirectory {
                return nil
            }
            return try file.lock(LOCK_SH) ? nil : holder(in: file) ?? "another stillpoint"
        }
    }

    private static func holder(in file: OpenFile) -> String? {
        (try? file.read(200))?.split(separator: 0x0A).first.map(ToolResult.printable)
    }

    private static func fileName(of guest: GuestIdentity) throws(Failure) -> String {
        let groups = guest.uuid.split(separator: "-", omittingEmptySubsequences: false)
        let isUUID =
            groups.map(\.utf8.count) == [8, 4, 4, 4, 12]
            && groups.joined().utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0 | 0x20) }
        guard isUUID else {
            throw Failure(.internalError, "\(guest.name): '\(ToolResult.printable(guest.uuid.utf8))' is no UUID")
        }
        return guest.uuid.lowercased()
    }
}
