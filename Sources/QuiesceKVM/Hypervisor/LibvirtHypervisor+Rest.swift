// SPDX-License-Identifier: Apache-2.0

import Glibc
import Libvirt
import Quiesce
import SystemPackage

/// A guest that is off: down and up again, and its saved definition moved to other images.
extension LibvirtHypervisor {
    func shutDown(within limit: Duration, interruption: Interruption) async throws(Failure) -> StopReason {
        let name = guest.domain.name
        let images = try await disks().flatMap { $0.liveChain.map(\.path) }
        try await guest.run("shut \(name) down") { domain throws(LibvirtError) in try domain.shutdown() }
        let begin = ContinuousClock.now
        let end = begin + limit
        while true {
            let (state, reason) = try await guest.run("look whether \(name) is off") { domain throws(LibvirtError) in
                try domain.state()
            }
            // The state changes before QEMU is gone; its locks are the last to go.
            let now = ContinuousClock.now
            if state == .shutoff, !images.contains(where: Self.isOpen) {
                if now <= end { return StopReason(libvirt: reason) }
                throw Failure(
                    .busy, "\(name) was off only after \(begin.duration(to: now).forPeople): no snapshot was taken",
                    hint: "give it longer:   --shutdown=10m")
            }
            // What was asked for cannot be called back: one that goes off a little late is not to stay off.
            if now > end + min(limit, .seconds(120)) {
                throw Failure(
                    .busy, "\(name) did not shut down within \(limit.forPeople); it may still do so",
                    hint: "look at its console, and then   virsh domstate \(name)")
            }
            if interruption.isImpatient {
                throw Failure(
                    interruption.status ?? .interrupted, "stopped while \(name) was shutting down; it may still do so",
                    hint: "virsh domstate \(name);   virsh start \(name)")
            }
            try? await Task.sleep(for: .milliseconds(100))
        }
    }

    func start() async throws(Failure) {
        try await guest.run("start \(guest.domain.name)") { domain throws(LibvirtError) in
            if try !domain.isActive() { try domain.create() }
        }
    }

    func point(_ moves: [Repointing]) async throws(Failure) {
        let connection = guest.connection
        let name = guest.domain.name
        try await keepingOff(moves.map(\.from)) { [guest] () async throws(Failure) in
            let xml = try await guest.run("read the definition of \(name)") { domain throws(LibvirtError) in
                try domain.xml([.inactive, .secure])
            }
            let now = try await disks()
            for move in moves {
                let image = now.first { $0.target == move.target }?.activeImage?.path
                guard image == move.from else {
                    throw Failure(
                        .snapshotFailed,
                        "\(move.target) of \(name) stands on \(image ?? "nothing") now, not on \(move.from) as planned")
                }
            }
            let images = Dictionary(moves.map { ($0.target, $0.to) }, uniquingKeysWith: { $1 })
            let edited = try DomainDefinition.replacing(images, in: xml)
            try await guest.run("move the definition of \(name)") { _ throws(LibvirtError) in
                _ = try connection.define(xml: edited)
            }
        }
    }

    func restore(_ definition: String, from images: [String]) async throws(Failure) {
        let connection = guest.connection
        try await keepingOff(images) { [guest] () async throws(Failure) in
            try await guest.run("put the definition of \(guest.domain.name) back") { _ throws(LibvirtError) in
                _ = try connection.define(xml: definition)
            }
        }
    }

    /// While `body` runs nobody can begin to write to the images, so the guest cannot be started on them: QEMU's own
    /// locks forbid it.
    private func keepingOff(
        _ images: [String], _ body: () async throws(Failure) -> Void
    ) async throws(Failure) {
        let name = guest.domain.name
        var locks: [ImageLock] = []
        for image in images {
            let lock: ImageLock?
            do throws(ReadFailure) { lock = try ImageLock(image) } catch {
                throw Failure(.snapshotFailed, "cannot keep \(image) from being written to: \(error.reason)")
            }
            guard let lock else {
                let holder = ImageHolder.writer(of: image).map { " by \($0)" } ?? ""
                throw Failure(.snapshotFailed, "\(image) is written to\(holder), so \(name) is not off")
            }
            locks.append(lock)
        }
        let isActive = try await guest.run("look whether \(name) is off") { domain throws(LibvirtError) in
            try domain.isActive()
        }
        if isActive { throw Failure(.snapshotFailed, "\(name) was started meanwhile") }
        try await body()
        withExtendedLifetime(locks) {}
    }

    private static func isOpen(_ image: String) -> Bool {
        let (folder, name) = split(image)
        return (try? Folder(real: folder).open(name, 0).isOpenInQEMU()) ?? false
    }
}

extension StopReason {
    /// virDomainShutoffReason, in its order.
    private static let order: [StopReason] = [
        .unknown, .shutdown, .destroyed, .crashed, .migrated, .saved, .failed, .fromSnapshot, .daemon,
    ]

    init(libvirt reason: Int) {
        self = Self.order.indices.contains(reason) ? Self.order[reason] : .unknown
    }
}

extension DiskFacts {
    /// What nobody but the images can tell of a guest that is off: the chain below the newest one, and its size.
    ///
    /// libvirt puts a new layer on what the saved definition names and writes nothing down of what is below that; it asks the
    /// images from there on when it starts the guest (measured on 9.0).
    mutating func readHeaders() {
        guard let top = activeImage, device == .disk, let layers = layers(of: top) else { return }
        headerChain = layers
        if isChainOpen, let last = liveChain.last, let below = self.layers(of: last) {
            liveChain += below.dropFirst()
        }
        virtualSizeBytes = try? top.virtualSizeBytes()
    }

    private func layers(of image: ImageLayer) -> [ImageLayer]? {
        let frozen = FrozenImage(target: target.description, path: image.path, format: image.format)
        return try? ImageChain(of: frozen).layers.map { ImageLayer(path: $0.path, format: $0.format.rawValue) }
    }
}

extension ImageLayer {
    static func isBlockDevice(_ path: String) -> Bool {
        (try? Stat(FilePath(path)))?.type == .blockSpecial
    }

    /// Bytes a guest sees of it: by its header, or for a raw image all there are.
    func virtualSizeBytes() throws(Failure) -> Int64 {
        if format == "qcow2" { return try Qcow2Header(at: path).virtualSizeBytes }
        return try explaining("cannot look at \(path)", else: .refused) { () throws(Errno) in
            try OpenFile(posix { open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }).end()
        }
    }
}
