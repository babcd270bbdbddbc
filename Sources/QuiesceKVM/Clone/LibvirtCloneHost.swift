// SPDX-License-Identifier: Apache-2.0

import Glibc
import Libvirt
import Quiesce
import SystemPackage

/// Clones through libvirt: transient domains, which the daemon destroys when our connection ends.
struct LibvirtCloneHost: CloneHost {
    let guest: LibvirtGuest
    let identity: GuestIdentity
    let state: StateFolder
    let ledger: Ledger
    let images: QemuImages
    let time: any Time
    /// Where the overlays lie, which grow by what the clone writes.
    let scratch: String

    /// Below it the clone is given up, and none is started.
    static let leastSpace: Int64 = 256 << 20

    func sweep() async throws(Failure) -> [String] {
        var removed: [String] = []
        for record in try await ledger.clones(on: identity.uri) {
            let found = try await domain(uuid: record.uuid)
            if record.isKept, found != nil { continue }
            let isThere = (try? Stat(FilePath(record.folder), followTargetSymlink: false)) != nil
            let folder = CloneFolder(takingOver: record.folder)
            if isThere, folder == nil { continue }
            if let found { try await Self.destroy(found, through: guest) }
            await folder?.remove()
            try await ledger.end(clone: record.id)
            removed.append(record.name)
        }
        return removed
    }

    func plan(
        _ snapshot: MemberReport.Snapshot, of run: RunID, halvingMemory: Bool
    ) async throws(Failure) -> ClonePlan {
        let id = RunID.random()
        let folder = "\(scratch)/stillpoint-clone-\(id)"
        let name = "\(identity.name.prefix(40))-verify-\(id.short)"
        let uuid = UUIDText.random()
        let saved = try Manifest.definition(of: run, in: state)
        let overlays = Dictionary(
            snapshot.disks.map {
                ($0.target, ImageLayer(path: CloneFolder.overlay($0.target, in: folder), format: "qcow2"))
            }, uniquingKeysWith: { first, _ in first })
        var clone = DefinitionCopy.Clone(origin: identity.uuid, folder: folder)
        clone.halvesMemory = halvingMemory
        let copy = try DefinitionCopy(
            of: saved,
            as: DefinitionCopy.Names(
                name: name, uuid: uuid, disks: overlays, nvram: CloneFolder.nvram(in: folder)), for: .clone(clone))
        // As they were at the cut; those of now where it kept none.
        var nvram = try DefinitionCopy.nvram(of: saved)
        if nvram != nil, try Manifest.variables(of: run, in: state) != nil {
            nvram = Manifest.path(of: run, in: state, MemberReport.Variables.file)
        }
        return ClonePlan(
            id: id, guest: identity, name: name, uuid: uuid, folder: folder, disks: snapshot.disks,
            dropped: copy.dropped, memoryKiB: copy.memoryKiB, definition: copy.xml, nvram: nvram)
    }

    func start(_ plan: ClonePlan, keeping: Bool) async throws(Failure) -> any Clone {
        try Self.demandRoom(for: plan, in: scratch)
        // Held until QEMU has them open: nobody begins to merge into one meanwhile.
        var locks: [FrozenDisk] = []
        for disk in plan.disks { locks.append(try FrozenDisk(disk)) }
        try await ledger.begin(plan)
        let folder: CloneFolder
        do throws(Failure) { folder = try CloneFolder(making: plan.folder) } catch {
            try await ledger.end(clone: plan.id)
            throw error
        }
        do throws(Failure) {
            for disk in plan.disks { try await makeOverlay(folder.overlay(disk.target), on: disk) }
            if let nvram = plan.nvram { try Self.copy(nvram, to: CloneFolder.nvram(in: plan.folder)) }
            let domain = try await guest.run("start the clone \(plan.name)") { [guest] _ throws(LibvirtError) in
                try guest.connection.create(xml: plan.definition, endsWithConnection: !keeping)
            }
            return withExtendedLifetime(locks) {
                LibvirtClone(
                    plan, LibvirtGuest(guest.connection, domain, uri: guest.uri, on: BlockingLane(label: "clone")),
                    in: folder, ledger: ledger, time: time)
            }
        } catch {
            await folder.remove()
            try await ledger.end(clone: plan.id)
            throw error
        }
    }

    private func domain(uuid: String) async throws(Failure) -> Domain? {
        try await guest.run("look for clones") { [guest] _ throws(LibvirtError) in
            do throws(LibvirtError) { return try guest.connection.domain(uuid: uuid) } catch {
                guard error.code == .noDomain else { throw error }
                return nil
            }
        }
    }

    /// It is gone already where nobody has to end it.
    static func destroy(_ domain: Domain, through guest: LibvirtGuest) async throws(Failure) {
        try await guest.run("end the clone \(domain.name)") { _ throws(LibvirtError) in
            do throws(LibvirtError) { try domain.destroy() } catch {
                guard error.code == .noDomain || error.code == .operationInvalid else { throw error }
            }
        }
    }

    /// A host that runs out of memory ends its guests, and not only the clone.
    private static func demandRoom(for plan: ClonePlan, in scratch: String) throws(Failure) {
        let free = try QemuImages.freeBytes(in: scratch)
        guard free >= 2 * leastSpace else {
            throw Failure(
                .busy, "\(scratch) has only \(ByteCount(free)) left for what a clone writes",
                hint: "--scratch names another folder")
        }
        guard let available = HostMemory.availableKiB else { return }
        let wanted = plan.memoryKiB + 256 << 10
        guard available >= wanted else {
            throw Failure(
                .busy,
                "the host has \(ByteCount(available << 10)) of memory left, and the clone wants \(ByteCount(wanted << 10))",
                hint: "--half-memory, or a quieter time")
        }
    }

    private func makeOverlay(_ path: String, on disk: MemberReport.Disk) async throws(Failure) {
        let what = "cannot make \(path)"
        let result: ToolResult
        do throws(ToolError) {
            result = try await images.qemuImg.run(
                // -u: the base is in use.
                ["create", "-q", "-f", "qcow2", "-u", "-b", disk.frozenImage, "-F", disk.format]
                    + ["--", path, "\(disk.virtualSizeBytes)"],
                deadline: .now + QemuImages.patience)
        } catch { throw Failure(error, what) }
        guard result.succeeded else { throw Failure(.refused, "\(what): \(result.reason)") }
        try explaining(what, else: .refused) { () throws(Errno) in
            let base = try Stat(FilePath(disk.frozenImage))
            // For a libvirt that is told to leave owners alone.
            try posix { chown(path, base.userID.rawValue, base.groupID.rawValue) }
            try posix { chmod(path, 0o600) }
        }
    }

    private static func copy(_ file: String, to path: String) throws(Failure) {
        // UEFI variables are a few hundred KiB.
        try explaining("cannot copy \(file)", else: .refused) { () throws(Errno) in
            let source: OpenFile
            do throws(Errno) {
                source = try OpenFile(posix { open(file, O_RDONLY | O_CLOEXEC) })
            } catch .noSuchFileOrDirectory { return }
            let bytes = try source.read(min(Int(clamping: source.status().size), 64 << 20))
            try OpenFile(posix { open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600) }).write(bytes)
        }
    }
}

/// What /proc/meminfo says.
enum HostMemory {
    /// Nil where nobody tells.
    static var availableKiB: Int64? {
        guard let file = try? OpenFile(posix { open("/proc/meminfo", O_RDONLY | O_CLOEXEC) }),
            let bytes = try? file.read(8 << 10)
        else { return nil }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        let words = lines.first { $0.hasPrefix("MemAvailable:") }?.split(separator: " ") ?? []
        return words.count > 1 ? Int64(words[1]) : nil
    }
}

enum UUIDText {
    /// A random UUID (version 4) in the canonical form.
    static func random() -> String {
        var digits = Array(RunID.random().description)
        digits[12] = "4"
        digits[16] = ["8", "9", "a", "b"][Int.random(in: 0..<4)]
        return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(digits[$0]) }.joined(separator: "-")
    }

    /// As libvirt writes one: lower case, with dashes.
    static func isCanonical(_ text: String) -> Bool {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        return parts.map(\.utf8.count) == [8, 4, 4, 4, 12] && RunID(parts.joined()) != nil
    }
}
