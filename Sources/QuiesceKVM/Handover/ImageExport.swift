// SPDX-License-Identifier: Apache-2.0

import Glibc
import Libvirt
public import Quiesce
import Synchronization

/// The frozen images of one snapshot, open for readers. Nobody can write to them until it is closed.
public final class ImageExport: Sendable {
    /// In the catalogue as long as it stands.
    public let use: SnapshotUse
    public let disks: [ExportedDisk]
    private let frozen: Mutex<[FrozenDisk]>
    /// Nil where the image files themselves are handed over.
    private let service: Service?
    private let ledger: Ledger

    private struct Service: Sendable {
        let daemon: StorageDaemon
        let graph: ExportGraph
        let folder: String
    }

    /// Opens the images, prepares the folder and writes the use down; the caller has the guest's lock.
    ///
    /// - Parameter use: with the folder; its files are ours to name.
    init(
        _ member: MemberReport, as use: SnapshotUse, in work: String, ledger: Ledger
    ) async throws(Failure) {
        var use = use
        let disks = member.snapshot?.disks ?? []
        let open = try await Self.opened(disks)
        if let path = use.folder {
            let way = use.way
            let daemon: StorageDaemon
            do throws(StorageDaemonError) {
                daemon = try StorageDaemon(in: work, mounts: way == .fuse)
            } catch {
                throw Failure(error, "cannot export \(use.snapshot) of \(use.guest.name)")
            }
            let names = disks.map { "\($0.target).raw" }
            let folder = try ExportFolder(
                path, mounts: way == .fuse ? names : [], sockets: way == .nbd ? [Self.socket] : [])
            use.files = folder.files
            var graph = ExportGraph()
            if way == .nbd { graph.listen(at: "\(path)/\(Self.socket)") }
            for (disk, name) in zip(open, names) {
                let node = graph.add(disk.chain, named: disk.image.target)
                if way == .nbd {
                    graph.offer(node, as: disk.image.target)
                } else {
                    graph.export(node, at: "\(path)/\(name)", writable: false)
                }
            }
            service = Service(daemon: daemon, graph: graph, folder: path)
        } else {
            service = nil
        }
        self.disks = Self.disks(of: member, use)
        self.use = use
        self.ledger = ledger
        frozen = Mutex(open)
        do throws(Failure) { try await ledger.keep(use) } catch {
            if let service { await ExportFolder.clear(service.folder, use.files) }
            throw error
        }
    }

    static let socket = "nbd.sock"

    /// As that use shows them.
    static func disks(of member: MemberReport, _ use: SnapshotUse) -> [ExportedDisk] {
        (member.snapshot?.disks ?? []).map { disk in
            ExportedDisk(
                target: disk.target, place: place(of: disk, use), format: use.folder == nil ? disk.format : "raw",
                chain: disk.chain, virtualSizeBytes: disk.virtualSizeBytes)
        }
    }

    private static func place(of disk: MemberReport.Disk, _ use: SnapshotUse) -> String {
        switch (use.way, use.folder) {
        case (.fuse, let folder?): "\(folder)/\(disk.target).raw"
        case (.nbd, let folder?): "nbd+unix:///\(disk.target)?socket=\((folder + "/" + socket).percentEncoded)"
        default: disk.frozenImage
        }
    }

    /// Their frozen images, kept from writers.
    static func opened(_ disks: [MemberReport.Disk]) async throws(Failure) -> [FrozenDisk] {
        try await BlockingLane(label: "stillpoint.images").run { () throws(Failure) in try open(disks) }
    }

    private static func open(_ disks: [MemberReport.Disk]) throws(Failure) -> [FrozenDisk] {
        var open: [FrozenDisk] = []
        for disk in disks { open.append(try FrozenDisk(disk)) }
        return open
    }

    /// Serves while `body` runs, and is closed afterwards whatever became of it.
    public func whileOpen<Value: Sendable>(
        _ body: @escaping @Sendable () async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        let result: Result<Value, Failure>
        if let service {
            do throws(StorageDaemonError) {
                result = try await service.daemon.whileServing(
                    service.graph, named: use.id.description, deadline: .now + Self.forever
                ) { () async throws(StorageDaemonError) -> Result<Value, Failure> in
                    self.hideSocket(service)
                    return await Self.outcome(body)
                }
            } catch {
                result = .failure(Failure(error, "cannot export \(use.snapshot) of \(use.guest.name)"))
            }
        } else {
            result = await Self.outcome(body)
        }
        // In a task of its own: cancellation does not reach the removal.
        await Task { await close() }.value
        return try result.get()
    }

    private static func outcome<Value>(_ body: () async throws(Failure) -> Value) async -> Result<Value, Failure> {
        do throws(Failure) { return .success(try await body()) } catch { return .failure(error) }
    }

    /// Longer than any backup.
    private static let forever = Duration.seconds(400 * 86_400)

    /// Whether readers are still served; always where they read the images themselves.
    public var isServed: Bool {
        guard let service else { return true }
        return service.daemon.serving(use.id.description) != nil
    }

    /// Goes on serving after us, until ``OpenGuest/close(_:)``. The images' locks go with it.
    public func leave() async throws(Failure) {
        guard let service else { return }
        do throws(Failure) {
            var use = use
            use.process = ProcessMark(of: try await start(service))
            hideSocket(service)
            try await ledger.keep(use)
        } catch {
            await close()
            throw error
        }
    }

    /// The daemon leaves the user all rights; nobody else could write to it, and so connect, before this either.
    private func hideSocket(_ service: Service) {
        if use.way == .nbd { chmod("\(service.folder)/\(Self.socket)", 0o600) }
    }

    private func start(_ service: Service) async throws(Failure) -> pid_t {
        do throws(StorageDaemonError) {
            return try await service.daemon.start(
                service.graph, named: use.id.description, handing: frozen.withLock { $0.flatMap(\.descriptors) })
        } catch {
            throw Failure(error, "cannot export \(use.snapshot) of \(use.guest.name)")
        }
    }

    /// What a run or a begun one was for is still to be done: only an export is over with its service.
    private func close() async {
        if let service {
            await service.daemon.stop(use.id.description)
            await ExportFolder.clear(service.folder, use.files)
        }
        frozen.withLock { $0 = [] }
        if use.kind == .export { try? await ledger.forget(use) }
    }
}

extension Failure {
    fileprivate init(_ error: StorageDaemonError, _ what: String) {
        switch error {
        case .notAvailable(let reason): self.init(.refused, "\(what): \(reason)")
        case .cancelled: self.init(.interrupted, "\(what): interrupted")
        }
    }
}

extension String {
    /// As a path may stand in a URI's query.
    fileprivate var percentEncoded: String {
        utf8.map { byte in
            switch byte {
            case 48...57, 65...90, 97...122, 0x2D, 0x2E, 0x2F, 0x5F, 0x7E: String(UnicodeScalar(byte))
            default: "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }.joined()
    }
}
