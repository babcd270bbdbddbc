// SPDX-License-Identifier: Apache-2.0

import Glibc
import JSON
public import Quiesce
import SystemPackage

extension QemuImages: LayerStore {
    /// Long enough to copy any disk: only what the storage itself does not answer ends a merge.
    private static let mergePatience = Duration.seconds(7 * 24 * 3600)
    private static let checkPatience = Duration.seconds(3600)

    public func imagesLying(
        on images: Set<String>, apartFrom raw: Set<String>
    ) async throws(Failure) -> [String: Set<String>] {
        let spellings = Dictionary(grouping: images, by: ImagePlace.init)
        let known = Set(raw.map(ImagePlace.init)).union(spellings.keys)
        var users: [String: Set<String>] = [:]
        for place in Set(images.map { split($0).folder }) where place != "/dev" {
            guard let folder = try? Folder(real: place), let names = try? folder.names() else { continue }
            for name in names {
                let path = folder.path(of: name)
                guard let status = try? folder.status(of: name), status.type == .regular,
                    !known.contains(.file(FileIdentity(status))), let file = try? folder.open(name, O_RDONLY),
                    let backing = (try? Qcow2Header(of: file))?.backing
                else { continue }
                let base = backing.hasPrefix("/") ? backing : folder.path(of: backing)
                for image in spellings[ImagePlace(base)] ?? [] { users[image, default: []].insert(path) }
            }
        }
        return users
    }

    public func open(among images: [String]) async throws(Failure) -> [String] {
        var found: [String] = []
        for image in images {
            let isOpen = try explaining("cannot look at \(image)", else: .refused) { () throws(Errno) in
                do throws(Errno) {
                    return try OpenFile(posix { Glibc.open(image, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }).isOpenInQEMU()
                } catch .noSuchFileOrDirectory {
                    return false
                }
            }
            if isOpen { found.append(image) }
        }
        return found
    }

    public func virtualSize(of image: ImageLayer) async throws(Failure) -> Int64 {
        try await header(of: image).virtualSizeBytes
    }

    public func allocatedBytes(of image: String) async -> Int64? {
        image.hasPrefix("/dev/") ? nil : try? Self.allocatedBytes(of: image)
    }

    public func freeBytes(in folder: String) async -> Int64? {
        folder.hasPrefix("/dev") ? nil : try? Self.freeBytes(in: folder)
    }

    public func checkWhole(_ disk: MemberReport.Disk) async throws(Failure) {
        for layer in disk.chain {
            let header = try await header(of: layer)
            if layer.path == disk.frozenImage, header.virtualSizeBytes != disk.virtualSizeBytes {
                throw Failure(
                    .verificationFailed,
                    "\(disk.target): \(layer.path) shows \(header.virtualSizeBytes) bytes, and the disk had \(disk.virtualSizeBytes)"
                )
            }
            if layer.format == "qcow2" {
                try await checkTables(of: layer, disk.target, clusterSize: header.clusterSizeBytes ?? 0)
            }
        }
    }

    private func checkTables(
        of layer: ImageLayer, _ target: DiskTarget, clusterSize: Int64
    ) async throws(Failure) {
        let what = "cannot check \(layer.path)"
        let (found, reason) = try await tables(of: layer.path, within: Self.checkPatience)
        guard let found, let wrong = found["check-errors"]?.integer else {
            throw Failure(.internalError, "\(what): \(reason)")
        }
        // Clusters that nobody uses cost room, and that is all.
        let broken = wrong + (found["corruptions"]?.integer ?? 0)
        guard broken == 0 else {
            throw Failure(
                .verificationFailed, "\(target): \(layer.path) is damaged: qemu-img check finds \(broken) errors")
        }
        guard let end = found["image-end-offset"]?.integer else { return }
        let size = try explaining(what, else: .refused) { () throws(Errno) in try Stat(FilePath(layer.path)).size }
        // QEMU gives the last cluster no more room than was written of it.
        guard layer.path.hasPrefix("/dev/") || size > end - clusterSize else {
            throw Failure(
                .verificationFailed,
                "\(target): \(layer.path) is cut off: its tables reach \(end) bytes, and \(size) are there")
        }
    }

    public func merge(
        _ top: ImageLayer, into base: ImageLayer, options: MergeOptions, progress: @escaping @Sendable (Double) -> Void
    ) async throws(Failure) {
        let what = "merge \(top.path) into \(base.path)"
        // -d leaves the overlay as it is: whole until the caller removes it, should we be killed.
        var arguments = ["commit", "-p", "-d", "-f", top.format, "-b", base.path]
        if options.bandwidth > 0 { arguments += ["-r", "\(options.bandwidth)"] }
        let interrupted = "cannot \(what): interrupted; the overlays stay and nothing is lost"
        let result: ToolResult
        do throws(ToolError) {
            result = try await qemuImg.watched(
                arguments + ["--", top.path], until: options.interruption,
                deadline: .now + (options.limit ?? Self.mergePatience)
            ) { signs in
                if let percent = signs.percent { progress(percent / 100) }
            }
        } catch {
            if let status = options.interruption?.status { throw Failure(status, interrupted) }
            if case .timedOut = error, let limit = options.limit {
                throw Failure(
                    .busy, "cannot \(what) within \(limit.forPeople); the overlays stay",
                    hint: "try again with a longer --timeout")
            }
            throw Failure(error, "cannot \(what)")
        }
        if let status = options.interruption?.status, !result.succeeded { throw Failure(status, interrupted) }
        try demand(result, arguments + [top.path], what)
    }

    public func rest(_ image: ImageLayer, on base: ImageLayer) async throws(Failure) {
        // -u: the contents are the same, only the name in the header changes.
        try await change(
            ["rebase", "-q", "-u", "-f", image.format, "-b", base.path, "-F", base.format, "--", image.path],
            "lay \(image.path) on \(base.path)", within: Self.patience)
    }

    private func change(_ arguments: [String], _ what: String, within limit: Duration) async throws(Failure) {
        let result: ToolResult
        do throws(ToolError) { result = try await qemuImg.run(arguments, deadline: .now + limit) } catch {
            throw Failure(error, "cannot \(what)")
        }
        try demand(result, arguments, what)
    }

    private func demand(_ result: ToolResult, _ arguments: [String], _ what: String) throws(Failure) {
        guard !result.succeeded else { return }
        let reason = result.reason
        if reason.contains("lock") {
            let images = arguments.filter { $0.hasPrefix("/") }
            let holder = images.lazy.compactMap { ImageHolder.writer(of: $0) }.first
            throw Failure(
                .busy, "cannot \(what): \(holder.map { "\($0) has it open" } ?? reason)",
                hint: images.map { "fuser -v \($0)" }.joined(separator: "\n"))
        }
        throw Failure(
            .refused, "cannot \(what): \(reason)",
            hint: reason.contains("No space left") ? "make room there and try again: nothing is lost" : nil)
    }
}
