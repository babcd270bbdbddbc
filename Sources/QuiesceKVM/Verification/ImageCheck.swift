// SPDX-License-Identifier: Apache-2.0

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
        var disks: [FrozenDisk] = []
        var unread: [FilesystemFinding] = []
        for image in images {
            do {
                disks.append(FrozenDisk(image: image, chain: try ImageChain(of: image)))
            } catch {
                unread.append(.notRead(image, error.reason))
            }
        }
        guard !disks.isEmpty else { return unread }
        progress(.reading(images: disks.count))
        let readable = disks
        let found = try await WorkFolder.with(in: scratch) { folder throws(ImageCheckError) in
            do throws(StorageDaemonError) {
                return try await read(readable, depth, in: folder, deadline, progress)
            } catch {
                switch error {
                case .cancelled: throw .cancelled
                case .imageLocked(let words): throw .imageInUse(among: readable, words)
                case .notAvailable(let reason): return readable.map { .notRead($0.image, reason) }
                }
            }
        }
        return found + unread
    }

    private func read(
        _ disks: [FrozenDisk], _ depth: Depth, in folder: WorkFolder, _ deadline: ContinuousClock.Instant,
        _ progress: @escaping @Sendable (Progress) -> Void
    ) async throws(StorageDaemonError) -> [FilesystemFinding] {
        let daemon = try StorageDaemon(in: folder)
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

/// A frozen image that can be opened.
struct FrozenDisk: Sendable {
    let image: FrozenImage
    let chain: ImageChain
}

extension FilesystemFinding {
    fileprivate static func notRead(_ image: FrozenImage, _ reason: String) -> FilesystemFinding {
        FilesystemFinding(
            place: image.target, targets: [image.target], kind: "unknown", result: .notChecked, detail: reason)
    }
}

extension ImageCheckError {
    /// Finds the image that QEMU was refused, and who holds it.
    fileprivate static func imageInUse(among disks: [FrozenDisk], _ words: String) -> ImageCheckError {
        for layer in disks.flatMap(\.chain.layers) {
            if let holder = ImageHolder.writer(of: layer.path) { return .imageInUse(image: layer.path, holder: holder) }
        }
        // "Is another process using the image [PATH]?"
        let named = words.split(separator: "[").last?.split(separator: "]").first.map(String.init)
        return .imageInUse(image: named ?? words, holder: nil)
    }
}
