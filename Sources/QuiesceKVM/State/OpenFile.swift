// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import SystemPackage

/// An open file, closed when it is let go. No child process inherits it.
final class OpenFile: Sendable {
    let descriptor: CInt

    init(_ descriptor: CInt) { self.descriptor = descriptor }

    deinit { Glibc.close(descriptor) }

    /// For a program that wants a path: this very file, whatever becomes of its name.
    var link: String { "/proc/\(getpid())/fd/\(descriptor)" }

    func status() throws(Errno) -> Stat { try Stat(FileDescriptor(rawValue: descriptor)) }

    /// - Parameter offset: nil for where the last write ended.
    func write(_ bytes: [UInt8], at offset: Int? = nil) throws(Errno) {
        var done = 0
        while done < bytes.count {
            let rest = bytes[done...]
            let count = rest.withUnsafeBytes { buffer in
                if let offset { return pwrite(descriptor, buffer.baseAddress, buffer.count, off_t(offset + done)) }
                return Glibc.write(descriptor, buffer.baseAddress, buffer.count)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw count == 0 ? .ioError : Errno(rawValue: errno) }
            done += count
        }
    }

    /// Up to `count` bytes from `offset` on; fewer at the end of the file.
    func read(_ count: Int, at offset: Int = 0) throws(Errno) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = bytes.withUnsafeMutableBytes { buffer in
                pread(descriptor, buffer.baseAddress?.advanced(by: done), count - done, offset + done)
            }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw Errno(rawValue: errno) }
            if got == 0 { break }
            done += got
        }
        return Array(bytes.prefix(done))
    }

    /// Bytes in it, of a block device too, for which its status says 0.
    func end() throws(Errno) -> Int64 {
        let end = lseek(descriptor, 0, SEEK_END)
        if end < 0 { throw Errno(rawValue: errno) }
        return Int64(end)
    }

    func sync() throws(Errno) { try posix { fsync(descriptor) } }

    /// flock(2), without waiting; false if another holds it.
    ///
    /// - Parameter kind: `LOCK_EX` or `LOCK_SH`.
    func lock(_ kind: CInt) throws(Errno) -> Bool {
        do throws(Errno) { try posix { flock(descriptor, kind | LOCK_NB) } } catch .wouldBlock { return false }
        return true
    }
}

/// A file whatever its name: device and inode.
struct FileIdentity: Hashable, Sendable {
    private let device: DeviceID
    private let inode: Inode

    init(_ status: Stat) {
        device = status.deviceID
        inode = status.inode
    }
}

/// The only place that knows that -1 means errno. An interrupted call is made again.
@discardableResult
func posix(_ call: () -> CInt) throws(Errno) -> CInt {
    while true {
        let result = call()
        if result != -1 { return result }
        let reason = Errno(rawValue: errno)
        if reason != .interrupted { throw reason }
    }
}

/// Does `body`; its errno becomes a failure that says what could not be done.
@discardableResult
func explaining<Value>(
    _ what: @autoclosure () -> String, else status: ExitStatus, _ body: () throws(Errno) -> Value
) throws(Failure) -> Value {
    do throws(Errno) { return try body() } catch { throw Failure(error, what(), else: status) }
}

extension Failure {
    /// `what: reason`, and what to do where the reason alone says it.
    init(_ reason: Errno, _ what: String, else status: ExitStatus, hint: String? = nil) {
        switch reason {
        case .permissionDenied, .notPermitted, .readOnlyFileSystem:
            self.init(.notPermitted, "\(what): \(reason)", hint: hint)
        case .noSpace, .diskQuotaExceeded:
            self.init(status, "\(what): \(reason)", hint: hint ?? "make room there and try again")
        default:
            self.init(status, "\(what): \(reason)", hint: hint)
        }
    }
}
