// SPDX-License-Identifier: Apache-2.0

import Libvirt

/// Reads the filesystems on the frozen images of one snapshot, and checks them without changing a byte of them.
///
/// Images are opened by QEMU, read-only and with its locking on; no filesystem of a guest is ever mounted on the host.
public struct ImageCheck: Sendable {
    public enum Depth: String, Sendable, Codable, CaseIterable {
        /// Superblocks only: milliseconds.
        case proof
        /// Proof, then each filesystem's own checker on a throw-away overlay.
        case full
    }

    public enum Progress: Sendable, Equatable {
        case reading(images: Int)
        /// `number` counts from 1.
        case checking(place: String, number: Int, of: Int)
    }

    private let images: [FrozenImage]
    private let scratch: String

    /// - Parameters:
    ///   - images: the frozen images of all chosen disks together; a volume group is read across them.
    ///   - scratch: absolute path of a folder for overlays, which grow by what a checker repairs in them (megabytes), and
    ///     for copies of logical volumes that are scattered. A work folder is made in it, and is gone afterwards.
    public init(images: [FrozenImage], scratch: String) {
        self.images = images
        self.scratch = scratch
    }

    /// One finding for each place on the images: disks in order, then logical volumes, then what could not be read.
    ///
    /// - Parameter deadline: what is not done by then is `notChecked`.
    public func run(
        depth: Depth, deadline: ContinuousClock.Instant,
        progress: @escaping @Sendable (Progress) -> Void = { _ in }
    ) async throws(ImageCheckError) -> [FilesystemFinding] {
        let images = images
        let (disks, unread) = try await BlockingLane(label: "stillpoint.images").run {
            () throws(ImageCheckError) in try Self.open(images)
        }
        guard !disks.isEmpty else { return unread }
        progress(.reading(images: disks.count))
        let found = try await WorkFolder.with(in: scratch) { folder throws(ImageCheckError) in
            do throws(StorageDaemonError) {
                return try await read(disks, depth, in: folder, deadline, progress)
            } catch {
                switch error {
                case .cancelled: throw .cancelled
                case .notAvailable(let reason): return disks.map { .notRead($0.image, reason) }
                }
            }
        }
        // The locks end here, not after their last use.
        return withExtendedLifetime(disks) { found + unread }
    }

    private static func open(
        _ images: [FrozenImage]
    ) throws(ImageCheckError) -> (disks: [FrozenDisk], unread: [FilesystemFinding]) {
        var disks: [FrozenDisk] = []
        var unread: [FilesystemFinding] = []
        for image in images {
            do {
                disks.append(try FrozenDisk(image))
            } catch {
                switch error {
                case .inUse(let path): throw .imageInUse(image: path, holder: ImageHolder.writer(of: path))
                case .unreadable(let reason): unread.append(.notRead(image, reason))
                }
            }
        }
        return (disks, unread)
    }

    private func read(
        _ disks: [FrozenDisk], _ depth: Depth, in folder: WorkFolder, _ deadline: ContinuousClock.Instant,
        _ progress: @escaping @Sendable (Progress) -> Void
    ) async throws(StorageDaemonError) -> [FilesystemFinding] {
        let daemon = try StorageDaemon(in: folder.path)
        var graph = ExportGraph()
        var exported: [String] = []
        for (index, disk) in disks.enumerated() {
            let file = try folder.exportFile("disk-\(index)")
            graph.export(graph.add(disk.chain, named: "disk-\(index)"), at: file, writable: false)
            exported.append(file)
        }
        let files = exported
        // The daemon's deadline is a little later than that of the checkers, so that what was found is not lost with it.
        return try await daemon.whileServing(graph, named: "disks", deadline: deadline + .seconds(15)) {
            () async throws(StorageDaemonError) in
            let proof = try await Proof.read(files, targets: disks.map(\.image.target))
            guard depth == .full else { return proof.findings }
            let check = FullCheck(disks: disks, folder: folder, daemon: daemon, deadline: deadline)
            return try await check.run(proof, progress: progress)
        }
    }
}

extension FilesystemFinding {
    fileprivate static func notRead(_ image: FrozenImage, _ reason: String) -> FilesystemFinding {
        FilesystemFinding(
            place: image.target, targets: [image.target], kind: "unknown", result: .notChecked, detail: reason)
    }
}
