// SPDX-License-Identifier: Apache-2.0

import Foundation
import FoundationXML
import Glibc
import GuestAgent
public import Quiesce
import SystemPackage

/// A guest in the making from a copy: images and papers in a folder of its own, and a definition that names nothing else
/// on this host. Defined, not started.
public struct Restoration: Sendable {
    private let saved: SavedCopy
    private let host: LibvirtHost
    private let tools: CopyTools
    private let workplace: Workplace
    private let xml: String
    private let works: [CopyTools.Work]
    public let preview: RestoreReport

    /// Everything that can be known before anything is touched.
    ///
    /// - Parameters:
    ///   - name: nil for the original's, with its UUID and its MAC addresses, if it is gone.
    ///   - folder: nil for one of that name in libvirt's own.
    init(
        _ manifest: String, as name: String?, to folder: String?, _ tools: CopyTools, in workplace: Workplace
    ) async throws(Failure) {
        (self.tools, self.workplace) = (tools, workplace)
        host = try await LibvirtHost.open(workplace.uri.description)
        saved = try SavedCopy(manifest, interruption: tools.interruption)
        let origin = saved.member.domain
        let identity = GuestIdentity(
            name: try Self.name(name ?? origin.name, isGiven: name != nil),
            uuid: name == nil ? origin.uuid : UUIDText.random(), uri: workplace.uri.description)
        try await Self.demandFree(identity, on: host)
        let wanted = if let folder { folder } else { try Self.folder(for: identity.name, workplace.uri) }
        let place = try NewFolder.check(wanted)
        var works: [CopyTools.Work] = []
        var disks: [FlatImage] = []
        for image in saved.images {
            var work = CopyTools.Work(
                image.target, image.source, named: "\(saved.path)/\(image.name)", to: image.name, image.format)
            disks.append(try await tools.measure(&work, virtualSize: image.virtualSizeBytes))
            works.append(work)
        }
        self.works = works
        let boot = Dictionary(saved.boot.map { ($0.name, "\(place)/\($0.name)") }, uniquingKeysWith: { one, _ in one })
        let images = saved.images.map {
            ($0.target, ImageLayer(path: "\(place)/\($0.name)", format: $0.format.rawValue))
        }
        let copy = try DefinitionCopy(
            of: saved.definition,
            as: DefinitionCopy.Names(
                name: identity.name, uuid: identity.uuid,
                disks: Dictionary(images, uniquingKeysWith: { one, _ in one }),
                nvram: saved.nvram == nil ? nil : "\(place)/\(MemberReport.Variables.file)", kernel: boot["kernel"],
                initrd: boot["initrd"]),
            for: .restored(keepsAddresses: name == nil))
        xml = copy.xml
        preview = RestoreReport(
            identity, of: saved.report, saved.member.printable, from: saved.path, to: place, disks: disks,
            stripped: copy.dropped, unchecked: saved.images.filter { $0.digest == nil }.map(\.target))
        let hint = "make room there, or --to another folder"
        var others: [Int64] = []
        for (name, file, _) in saved.boot {
            others.append(try explaining("cannot read \(saved.path)/\(name)", else: .refused, file.end))
        }
        if let shortage = try disks.shortage(beside: place, with: others, hint: hint) { throw shortage }
    }

    /// A folder and a domain are named by it.
    private static func name(_ text: String, isGiven: Bool) throws(Failure) -> String {
        if let name = SnapshotName(text) { return name.description }
        let printed = ToolResult.printable(text.utf8)
        throw Failure(
            isGiven ? .usage : .refused,
            "'\(printed)' is no name for a restored guest: letters, digits, '.', '_' and '-', no dot or dash first",
            hint: isGiven ? nil : "--as NAME")
    }

    private static func demandFree(_ guest: GuestIdentity, on host: LibvirtHost) async throws(Failure) {
        let taken = try await host.domains(named: guest.name, uuid: guest.uuid)
        if taken.byName != nil {
            throw Failure(.refused, "there is a domain \(guest.name) on this host already", hint: "--as NAME")
        }
        if let other = taken.byUUID {
            throw Failure(
                .refused, "the domain \(other) has the UUID of the guest that was copied, \(guest.uuid)",
                hint: "--as NAME gives the restored one a UUID of its own")
        }
    }

    /// libvirt's own, for that user.
    private static func folder(for name: String, _ uri: HypervisorURI) throws(Failure) -> String {
        if uri.description.prefix(while: { $0 != "?" }).hasSuffix("/system") {
            return "/var/lib/libvirt/images/\(name)"
        }
        let data =
            absolutePath(fromVariable: "XDG_DATA_HOME")
            ?? absolutePath(fromVariable: "HOME").map { $0 + "/.local/share" }
        guard let data else { throw Failure(.configuration, "HOME is not set", hint: "--to FOLDER") }
        return "\(data)/libvirt/images/\(name)"
    }

    /// Leaves nothing where it fails.
    public func make(interruption: Interruption) async throws(Failure) -> RestoreReport {
        let begin = workplace.time.now
        let lock = try await GuestLock(
            of: preview.domain, in: GuestLock.folder(of: preview.domain.uri, state: workplace.state), for: "restore",
            time: workplace.time, interruption: interruption)
        defer { lock.release() }
        // Others may pass through, because QEMU has a user of its own, and see nothing.
        return try await NewFolder.with(preview.folder, mode: 0o711) { folder throws(Failure) in
            var report = preview
            try await fill(folder, &report)
            try folder.finish()
            try await Self.demandFree(preview.domain, on: host)
            do throws(Failure) { try await host.define(xml, preview.domain.name) } catch {
                throw Failure(error.status == .internalError ? .refused : error.status, error.message, hint: error.hint)
            }
            report.isDryRun = false
            report.tookMs = begin.duration(to: workplace.time.now).inMilliseconds
            return report
        }
    }

    private func fill(_ folder: NewFolder, _ report: inout RestoreReport) async throws(Failure) {
        // Before anything of it is used.
        for (image, work) in zip(saved.images, works) {
            guard let digest = image.digest else { continue }
            let found = try await tools.digest(of: image.file, work.sourceName, image.target, .checking)
            guard found == digest else { throw Self.changed(work.sourceName) }
        }
        for (index, work) in works.enumerated() {
            try await tools.convert(work, in: folder.draft, .restoring)
            try report.disks[index].look(at: folder.draft)
        }
        if let nvram = saved.nvram {
            let name = MemberReport.Variables.file
            try explaining("cannot write \(folder.draft.path(of: name))", else: .refused) { () throws(Errno) in
                try folder.draft.write(nvram, as: name)
            }
        }
        for (name, file, digest) in saved.boot {
            let what = "\(saved.path)/\(name)"
            let copy = try BootFile.copy(file, "cannot read \(what)", to: folder.draft, as: name)
            guard try await tools.digest(of: copy, what) == digest else {
                throw Self.changed(what)
            }
        }
    }

    private static func changed(_ what: String) -> Failure {
        Failure(.verificationFailed, "\(what) is not what it was when it was copied: its digest differs")
    }
}

extension MemberReport {
    /// Fit for a terminal, whoever wrote it: what a report shows of it.
    fileprivate var printable: MemberReport {
        var member = self
        member.domain = GuestIdentity(
            name: domain.name.printable(limit: 128), uuid: domain.uuid.printable(limit: 36),
            uri: domain.uri.printable(limit: 256))
        member.snapshot?.name = snapshot?.name.printable(limit: 128) ?? ""
        for index in member.applications.indices {
            for artifact in member.applications[index].artifacts.indices {
                let name = member.applications[index].artifacts[artifact].name
                member.applications[index].artifacts[artifact].name = name.printable(limit: 255)
            }
        }
        return member
    }
}

extension Workplace {
    public func restoration(
        of manifest: String, as name: String?, to folder: String?, interruption: Interruption,
        telling listener: @escaping @Sendable (CopyProgress) -> Void
    ) async throws(Failure) -> Restoration {
        try await Restoration(
            manifest, as: name, to: folder, try CopyTools(interruption: interruption, telling: listener), in: self)
    }
}
