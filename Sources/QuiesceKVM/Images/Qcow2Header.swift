// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import SystemPackage

/// The fixed part of a qcow2 image, read by ourselves before any program of QEMU opens the file: `qemu-img info` opens
/// the external data file that a header names, whatever that is (CVE-2024-4467), and a guest can write any header onto
/// its raw disk. Source: QEMU's docs/interop/qcow2.txt.
struct Qcow2Header: Sendable, Hashable {
    var virtualSizeBytes: Int64
    var clusterSizeBytes: Int64
    var hasExtendedL2: Bool
    var hasDataFile: Bool
    /// As it stands in the image; may be relative to the image's own folder, or `json:…`.
    var backing: String?
    /// Nil where the image leaves QEMU to guess.
    var backingFormat: String?

    enum Problem: Error, Hashable {
        case unreadable(Errno)
        case damaged
    }

    /// Or the beginning of one: `qemu-img create` names the backing file last, and the size not long before.
    var isOverlay: Bool { backing != nil || virtualSizeBytes == 0 }

    /// Nil if the file is no qcow2 image.
    init?(of file: OpenFile) throws(Problem) {
        let fixed: [UInt8]
        do throws(Errno) { fixed = try file.read(104) } catch { throw .unreadable(error) }
        guard fixed.starts(with: [0x51, 0x46, 0x49, 0xFB]) else { return nil }
        let bytes = BigEndian(fixed)
        guard let version = bytes.word(at: 4), let place = bytes.long(at: 8), let length = bytes.word(at: 16),
            let clusterBits = bytes.word(at: 20), let size = bytes.long(at: 24),
            (9...21).contains(clusterBits), let virtualSize = Int64(exactly: size)
        else { throw .damaged }
        var (features, end) = (UInt64(0), UInt32(72))
        if version >= 3 {
            guard let incompatible = bytes.long(at: 72), let length = bytes.word(at: 100) else { throw .damaged }
            (features, end) = (incompatible, length)
        }
        virtualSizeBytes = virtualSize
        clusterSizeBytes = 1 << Int64(clusterBits)
        hasDataFile = features & 0x4 != 0
        hasExtendedL2 = features & 0x10 != 0
        if place != 0 {
            // The name lies in the first cluster, which is 2 MiB at most.
            guard place <= 2 << 20, (1...1023).contains(length) else { throw .damaged }
            let name: [UInt8]
            do throws(Errno) { name = try file.read(Int(length), at: Int(place)) } catch { throw .unreadable(error) }
            guard name.count == Int(length), let text = String(validating: name, as: UTF8.self) else { throw .damaged }
            backing = text
            do throws(Errno) { backingFormat = try Self.backingFormat(in: file, from: Int(end)) } catch {
                throw .unreadable(error)
            }
        }
    }

    /// From the header's extensions: type, length, data padded to 8 bytes; type 0 ends them.
    private static func backingFormat(in file: OpenFile, from start: Int) throws(Errno) -> String? {
        let area = try file.read(1 << 12, at: start)
        let bytes = BigEndian(area)
        var at = 0
        while let type = bytes.word(at: at), let length = bytes.word(at: at + 4), type != 0 {
            if type == 0xE279_2ACA {
                return String(validating: area.dropFirst(at + 8).prefix(Int(length)), as: UTF8.self)
            }
            at += 8 + (Int(length) + 7) & ~7
        }
        return nil
    }

    /// The header of a file that has to be a qcow2 image.
    init(at path: String) throws(Failure) {
        let file = try explaining("cannot read \(path)", else: .refused) { () throws(Errno) in
            try OpenFile(posix { open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) })
        }
        guard let header = try? Qcow2Header(of: file) else {
            throw Failure(.refused, "\(path) is not a sound qcow2 image")
        }
        self = header
    }

    private struct BigEndian {
        let bytes: [UInt8]

        init(_ bytes: [UInt8]) { self.bytes = bytes }

        func word(at offset: Int) -> UInt32? { number(at: offset, of: 4).flatMap(UInt32.init(exactly:)) }
        func long(at offset: Int) -> UInt64? { number(at: offset, of: 8) }

        private func number(at offset: Int, of count: Int) -> UInt64? {
            let field = bytes.dropFirst(offset).prefix(count)
            return field.count == count ? field.reduce(0) { $0 << 8 | UInt64($1) } : nil
        }
    }
}
