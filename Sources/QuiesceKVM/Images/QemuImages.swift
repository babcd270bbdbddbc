// SPDX-License-Identifier: Apache-2.0

import Glibc
import JSON
public import Quiesce
import SystemPackage

/// Image files by way of `qemu-img`, which is always told the format and never left to guess it.
public struct QemuImages: ImageStore {
    /// Long enough for a busy disk: every call reads or writes a few clusters only.
    static let patience = Duration.seconds(60)

    let qemuImg: Tool

    public init() throws(Failure) {
        do throws(ToolError) { qemuImg = try Tool("qemu-img", package: "qemu-utils") } catch {
            throw Failure(.refused, "\(error)", hint: "apt install qemu-utils")
        }
    }

    public func obstacles(to disks: [MemberPlan.Disk]) async -> [Finding] {
        disks.compactMap { disk in
            do throws(Failure) {
                try NewOverlay.check(disk)
                return nil
            } catch {
                return Finding(
                    .refuses(error.status), "overlay.impossible", error.message, fix: error.hint.map { [$0] } ?? [])
            }
        }
    }

    public func stage(_ disks: [MemberPlan.Disk]) async throws(Failure) {
        var staged: [NewOverlay] = []
        do throws(Failure) {
            // Every name is taken before the first is filled: what cannot be had shows at once.
            for disk in disks { staged.append(try NewOverlay(for: disk)) }
            try await fill(staged)
            for folder in Dictionary(grouping: staged, by: \.folder.path).values.compactMap(\.first?.folder) {
                try explaining("cannot sync the folder \(folder.path)", else: .refused, folder.sync)
            }
        } catch {
            let left = staged.filter { !$0.remove() }.map(\.disk.overlay)
            let outcome = left.isEmpty ? "nothing was changed" : "left behind: \(left.joined(separator: " "))"
            throw Failure(error.status, "\(error.message); \(outcome)", hint: error.hint)
        }
    }

    public func check(_ disk: MemberPlan.Disk) async throws(Failure) {
        let header = try await header(of: ImageLayer(path: disk.overlay, format: "qcow2"))
        if let difference = header.difference(from: disk) {
            throw Failure(.verificationFailed, "\(disk.target): \(disk.overlay): \(difference)")
        }
    }

    public func obstacles(to file: String, beside image: String) async -> [Finding] {
        do throws(Failure) {
            let folder = try Folder(forOverlay: file, on: image)
            let found = try explaining("cannot look at \(file)", else: .refused) { () throws(Errno) in
                try folder.status(of: split(file).name)
            }
            guard found != nil else { return [] }
            return [Finding(.refuses(.refused), "memory.exists", "\(file) exists already", fix: ["name another file"])]
        } catch {
            return [
                Finding(.refuses(error.status), "memory.impossible", error.message, fix: error.hint.map { [$0] } ?? [])
            ]
        }
    }

    public func reserve(_ file: String, beside image: String) async throws(Failure) {
        let folder = try Folder(forOverlay: file, on: image)
        try explaining("cannot make \(file)", else: .refused) { () throws(Errno) in
            _ = try folder.open(split(file).name, O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
            try folder.sync()
        }
    }

    public func seal(_ file: String) async throws(Failure) -> Int64 {
        try explaining("cannot sync \(file)", else: .internalError) { () throws(Errno) in
            let (place, name) = split(file)
            let open = try Folder(real: place).open(name, O_RDONLY)
            try open.sync()
            return try open.status().size
        }
    }

    public func contents(of file: String) async throws(Failure) -> [UInt8] {
        let most: Int64 = 64 << 20
        let bytes = try explaining("cannot read \(file)", else: .internalError) { () throws(Errno) -> [UInt8]? in
            let open = try OpenFile(posix { Glibc.open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK) })
            let status = try open.status()
            guard status.type == .regular, status.size <= most else { return nil }
            return try open.read(Int(clamping: status.size))
        }
        guard let bytes else { throw Failure(.internalError, "\(file) is no file of at most \(ByteCount(most))") }
        return bytes
    }

    public func overwrite(_ file: String, with bytes: [UInt8]) async throws(Failure) {
        let (place, name) = split(file)
        try explaining("cannot write \(file)", else: .internalError) { () throws(Errno) in
            let folder = try Folder(real: place)
            let before = try folder.status(of: name)
            let new = ".\(name).stillpoint"
            try folder.write(bytes, as: new, mode: before.map { $0.rawValue.st_mode & 0o777 } ?? 0o600)
            if let before {
                try posix { Glibc.lchown(folder.path(of: new), before.rawValue.st_uid, before.rawValue.st_gid) }
            }
            try folder.rename(new, to: name)
            try folder.sync()
        }
    }

    public func sha256(of bytes: [UInt8]) -> String { SHA256.hex(of: bytes) }

    public func check(_ disk: MemberReport.Disk, holds name: String) async throws(Failure) {
        let header = try await header(of: ImageLayer(path: disk.frozenImage, format: disk.format))
        guard header.snapshots.contains(name) else {
            throw Failure(.verificationFailed, "\(disk.target): \(disk.frozenImage) holds no snapshot \(name)")
        }
    }

    @discardableResult
    public func discard(_ overlays: [String]) async -> [String] {
        for overlay in overlays {
            let (place, name) = split(overlay)
            // A leftover costs a name, a wrong unlink costs a disk: whatever is not plainly an idle overlay stays.
            guard let folder = try? Folder(real: place), let file = try? folder.open(name, O_RDONLY),
                let status = try? file.status(), status.type == .regular,
                status.size == 0 || (try? Qcow2Header(of: file))?.isOverlay == true,
                (try? file.isOpenInQEMU()) == false
            else { continue }
            try? folder.unlink(name)
            try? folder.sync()
        }
        return overlays.filter { access($0, F_OK) == 0 }
    }

    public func withdraw(_ disk: MemberPlan.Disk, of run: RunID) async throws(Failure) -> Bool {
        let (place, name) = split(disk.overlay)
        let layer = MergedLayer(path: disk.overlay, run: run)
        let what = "cannot look at \(disk.overlay)"
        let file = try explaining(what, else: .internalError) { () throws(Errno) -> OpenFile? in
            let folder = try Folder(real: place)
            return try folder.status(of: name) == nil ? nil : try folder.open(name, O_RDONLY)
        }
        guard let file else {
            // Begun before and interrupted: what is in the trash goes.
            try layer.remove(apartFrom: [])
            return false
        }
        let size = try explaining(what, else: .internalError) { () throws(Errno) in try file.status().size }
        let header = try? Qcow2Header(of: file)
        let isBegun = size == 0 || header?.virtualSizeBytes == 0
        guard isBegun || header?.backing == disk.base.path else {
            throw Failure(.refused, "\(disk.overlay) is not the overlay that the run was to make: it is left alone")
        }
        if !isBegun, try await holdsData(disk.overlay) {
            throw Failure(
                .quarantined,
                "\(disk.overlay) holds what the guest wrote, and no definition names it: it is left alone",
                hint:
                    "if the guest has not run since, name it as the source of \(disk.target) by virsh edit, and recover again; else move it away"
            )
        }
        try layer.remove(apartFrom: [])
        return true
    }

    /// Whether any cluster of the image itself was ever written to.
    private func holdsData(_ image: String) async throws(Failure) -> Bool {
        let (found, reason) = try await tables(of: image, within: Self.patience)
        guard let found, found["total-clusters"]?.integer != nil else {
            throw Failure(.internalError, "cannot check \(image): \(reason)")
        }
        return (found["allocated-clusters"]?.integer ?? 0) > 0
    }

    /// What `qemu-img check` finds in the tables of a qcow2 image, or says instead. Works while QEMU has it open.
    func tables(
        of image: String, within limit: Duration
    ) async throws(Failure) -> (found: JSONValue?, reason: String) {
        do throws(ToolError) {
            let result = try await qemuImg.run(
                ["check", "-U", "-f", "qcow2", "--output=json", "--", image], deadline: .now + limit)
            return (try? JSONValue(parsing: result.output), result.reason)
        } catch {
            throw Failure(error, "cannot check \(image)")
        }
    }

    public func chain(of image: ImageLayer) async throws(Failure) -> [ImageLayer] {
        guard access(image.path, F_OK) == 0 else { throw Failure(.noSuchThing, "\(image.path) is not there") }
        do throws(ReadFailure) {
            return try ImageChain(of: FrozenImage(target: "", path: image.path, format: image.format)).layers.map {
                ImageLayer(path: $0.path, format: $0.format.rawValue)
            }
        } catch {
            throw Failure(.internalError, "cannot follow the chain of \(image.path): \(error.reason)")
        }
    }

    public func remove(_ overlays: [String], of run: RunID) async throws(Failure) {
        let layers = overlays.map { MergedLayer(path: $0, run: run) }
        let going = Set(layers.compactMap(\.identity))
        for layer in layers { try layer.remove(apartFrom: going) }
    }

    /// What an image says of itself; its backing file is not opened. Works while QEMU has it open.
    public func header(of layer: ImageLayer) async throws(Failure) -> ImageHeader {
        if layer.format == "qcow2" { try refuseForeignReferences(in: layer.path) }
        let result: ToolResult
        do throws(ToolError) {
            result = try await qemuImg.run(
                ["info", "-U", "-f", layer.format, "--output=json", "--", layer.path],
                deadline: .now + Self.patience)
        } catch {
            throw Failure(error, "cannot read \(layer.path)")
        }
        guard result.succeeded else { throw Failure(.internalError, "cannot read \(layer.path): \(result.reason)") }
        guard let info = try? JSONValue(parsing: result.output), let header = ImageHeader(info) else {
            throw Failure(.internalError, "cannot read \(layer.path): qemu-img's answer is not understood")
        }
        return header
    }

    /// Bytes that an unprivileged writer may still add to the filesystem of that folder; 0 when it has no inodes left.
    public static func freeBytes(in folder: String) throws(Failure) -> Int64 {
        var status = statvfs()
        try explaining("cannot ask for the free space of \(folder)", else: .refused) { () throws(Errno) in
            try posix { statvfs(folder, &status) }
        }
        if status.f_files > 0, status.f_favail == 0 { return 0 }
        let (bytes, overflow) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
        return overflow ? .max : Int64(clamping: bytes)
    }

    /// Bytes that an image takes on the host's disk: for an overlay, its growth.
    public static func allocatedBytes(of image: String) throws(Failure) -> Int64 {
        try explaining("cannot look at \(image)", else: .noSuchThing) { () throws(Errno) in
            try Stat(FilePath(image)).sizeAllocated
        }
    }

    /// At most four at once: more only queue at the disk.
    private func fill(_ overlays: [NewOverlay]) async throws(Failure) {
        let failure = await withTaskGroup(of: Failure?.self) { group -> Failure? in
            var waiting = overlays[...]
            func start() {
                guard let overlay = waiting.popFirst() else { return }
                group.addTask {
                    do throws(Failure) { try await overlay.fill(with: self) } catch { return error }
                    return nil
                }
            }
            for _ in 0..<4 { start() }
            for await failure in group {
                if let failure {
                    // Leaving the group awaits the others, whose qemu-img has then ended.
                    group.cancelAll()
                    return failure
                }
                start()
            }
            return nil
        }
        if let failure { throw failure }
    }

    private func refuseForeignReferences(in path: String) throws(Failure) {
        let header = try Qcow2Header(at: path)
        if header.hasDataFile {
            throw Failure(.refused, "\(path) keeps its data in another file: such images are not handled")
        }
        if let backing = header.backing, backing.namesProtocol {
            throw Failure(.refused, "\(path) lies on \(ToolResult.printable(backing.utf8)), which is no local file")
        }
    }
}

extension Failure {
    init(_ error: ToolError, _ what: String) {
        switch error {
        case .cancelled: self.init(.interrupted, "\(what): interrupted")
        case .timedOut: self.init(.busy, "\(what): \(error)", hint: "the storage does not answer; see dmesg")
        case .notFound, .failedToStart, .outputTooLarge: self.init(.internalError, "\(what): \(error)")
        }
    }
}

extension String {
    /// As QEMU sees it: a colon before the first slash makes a name a protocol (`nbd:`, `json:`, `https:`).
    var namesProtocol: Bool { prefix { $0 != "/" }.contains(":") }
}
