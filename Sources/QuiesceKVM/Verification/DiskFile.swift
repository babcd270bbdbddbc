// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A raw file that is open for reading, such as an exported disk; closed with its last reference.
final class DiskFile: ByteSource {
    let size: UInt64
    private let descriptor: CInt
    // From linux/fs.h; the C library hides them behind _GNU_SOURCE.
    private static let seekData: CInt = 3
    private static let seekHole: CInt = 4

    /// - Parameter path: inside a folder of our own, where it is no link, or something is wrong.
    init(path: String) throws(ReadFailure) {
        // Non-blocking matters for a pipe alone, which then is refused at once.
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
        guard descriptor >= 0 else { throw .last("open", path) }
        // Not fstat: it says 0 for a block device.
        let end = lseek(descriptor, 0, SEEK_END)
        guard end >= 0 else {
            let failure = ReadFailure.last("lseek", path)
            close(descriptor)
            throw failure
        }
        size = UInt64(end)
    }

    deinit { close(descriptor) }

    func read(at offset: UInt64, count: Int) throws(ReadFailure) -> [UInt8] {
        let wanted = available(at: offset, count: count)
        var bytes = [UInt8](repeating: 0, count: wanted)
        var done = 0
        while done < wanted {
            let got = bytes.withUnsafeMutableBytes { buffer in
                pread(descriptor, buffer.baseAddress?.advanced(by: done), wanted - done, off_t(offset) + off_t(done))
            }
            if got < 0 && errno == EINTR { continue }
            guard got > 0 else { throw .last("read", "at \(offset)") }
            done += got
        }
        return bytes
    }

    /// The first run of data at or after `offset`, by what the filesystem or QEMU knows of holes; nil if only a hole
    /// is left.
    func data(from offset: UInt64) -> Range<UInt64>? {
        guard offset < size else { return nil }
        let start = lseek(descriptor, off_t(offset), Self.seekData)
        guard start >= 0 else { return errno == ENXIO ? nil : offset..<size }
        let end = lseek(descriptor, start, Self.seekHole)
        return UInt64(start)..<(end > start ? UInt64(end) : size)
    }
}

extension ReadFailure {
    static func last(_ call: String, _ subject: String) -> ReadFailure {
        let code = errno
        return ReadFailure(reason: "\(call) \(subject): \(String(cString: strerror(code)))")
    }
}
