// SPDX-License-Identifier: Apache-2.0

import Glibc
import Libvirt

/// A flat, sparse copy of a volume that lies in several pieces; QEMU can show only one piece as a file.
struct ScatteredCopy: Sendable {
    let path: String

    /// Copies what is not zero. Half of the free space of the folder may be taken.
    init(
        of volume: Volume, in folder: WorkFolder, named name: String, deadline: ContinuousClock.Instant
    ) async throws(StorageDaemonError) {
        let limit = folder.freeSpace / 2
        do throws(ReadFailure) {
            path = try await BlockingLane(label: "stillpoint.copy").run { () throws(ReadFailure) in
                let path = try folder.file(name)
                do throws(ReadFailure) {
                    try Self.copy(volume, to: path, limit: limit, deadline: deadline)
                } catch {
                    unlink(path)
                    throw error
                }
                return path
            }
        } catch {
            throw Task.isCancelled ? .cancelled : .notAvailable("copy of its pieces: \(error.reason)")
        }
    }

    func remove() { unlink(path) }

    private static let chunk = 1 << 20

    private static func copy(
        _ volume: Volume, to path: String, limit: UInt64, deadline: ContinuousClock.Instant
    ) throws(ReadFailure) {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw .last("open", path) }
        defer { close(descriptor) }
        guard ftruncate(descriptor, off_t(volume.size)) == 0 else { throw .last("ftruncate", path) }
        var written: UInt64 = 0
        var position: UInt64 = 0
        while let piece = volume.piece(at: position, upTo: UInt64(chunk)) {
            defer { position += piece.length }
            guard ContinuousClock.now < deadline else { throw ReadFailure(reason: "not done at its deadline") }
            if let file = volume.disks[piece.disk] as? DiskFile,
                file.data(from: piece.offset).map({ $0.lowerBound >= piece.offset + piece.length }) ?? true
            {
                continue
            }
            let bytes = try volume.read(at: position, count: Int(piece.length))
            guard bytes.contains(where: { $0 != 0 }) else { continue }
            written += UInt64(bytes.count)
            guard written <= limit else {
                throw ReadFailure(reason: "more than \(limit >> 20) MiB, half of what is free in the scratch folder")
            }
            guard pwrite(descriptor, bytes, bytes.count, off_t(position)) == bytes.count else {
                throw .last("write", path)
            }
        }
    }
}
