// SPDX-License-Identifier: Apache-2.0

import Foundation
import FoundationXML
import Glibc
import GuestAgent
import JSON
import Quiesce
import SystemPackage

/// A copy as it lies in a folder that anybody may have filled: nothing in it is believed, and nothing but regular files of
/// that very folder is opened. A folder that `copy` made has digests of everything; one that was put together from the
/// files of `run` or `export` and the papers of the run has none of the images.
struct SavedCopy: Sendable {
    struct Image: Sendable {
        var target: DiskTarget
        var name: String
        var format: CopyFormat
        var virtualSizeBytes: Int64
        /// Nil where none came with it.
        var digest: String?
        let file: OpenFile

        var source: ImageLayer { ImageLayer(path: file.link, format: format.rawValue) }
    }

    let path: String
    let report: RunReport
    let member: MemberReport
    let definition: String
    let images: [Image]
    let nvram: [UInt8]?
    /// Kernel and initial RAM disk.
    let boot: [(name: String, file: OpenFile, digest: String)]

    /// Checks everything but the content of images, kernel and initial RAM disk, which takes long.
    init(_ manifest: String, interruption: Interruption) throws(Failure) {
        let folder = try DistrustedFolder(of: manifest, interruption)
        path = folder.path
        report = try Self.report(try folder.paper(Manifest.file, most: 64 << 20), folder)
        definition = String(decoding: try folder.paper(Manifest.definition, most: 4 << 20), as: UTF8.self)
        let uuid: String
        do throws(Failure) {
            uuid = try DomainDefinition.root(of: definition).child("uuid")?.stringValue ?? ""
        } catch {
            throw folder.refusal("\(Manifest.definition) is no domain's definition")
        }
        guard UUIDText.isCanonical(uuid), let member = report.members.first(where: { $0.domain.uuid == uuid }),
            let snapshot = member.snapshot,
            !snapshot.disks.isEmpty, Set(snapshot.disks.map(\.target)).count == snapshot.disks.count
        else {
            throw folder.refusal("\(Manifest.file) and \(Manifest.definition) are not of one snapshot")
        }
        self.member = member
        var images: [Image] = []
        for disk in snapshot.disks { images.append(try folder.image(of: disk)) }
        self.images = images
        let large = Set(images.map(\.name) + BootFile.names)
        for name in folder.digests.names where !large.contains(name) { _ = try folder.paper(name, most: 64 << 20) }
        nvram = snapshot.nvram == nil ? nil : try folder.paper(MemberReport.Variables.file, most: 64 << 20)
        var boot: [(String, OpenFile, String)] = []
        for name in BootFile.names {
            guard let digest = folder.digests.digest(of: name) else { continue }
            boot.append((name, try folder.open(name), digest))
        }
        self.boot = boot
    }

    private static func report(_ bytes: [UInt8], _ folder: DistrustedFolder) throws(Failure) -> RunReport {
        do {
            let value = try JSONValue(parsing: bytes, limits: .ofOurOwn)
            guard value["schema"]?.string == RunReport.schema else {
                let schema = value["schema"]?.string.map { "'\($0.printable(limit: 64))'" } ?? "none"
                throw folder.refusal("\(Manifest.file) is of schema \(schema), and \(RunReport.schema) is understood")
            }
            return try value.decode(RunReport.self)
        } catch let failure as Failure {
            throw failure
        } catch {
            throw folder.refusal("\(Manifest.file) is not understood: \("\(error)".printable(limit: 200))")
        }
    }
}

/// A folder whose files somebody else may have made, held open.
private struct DistrustedFolder {
    let path: String
    let digests: DigestList
    private let folder: Folder
    private let interruption: Interruption

    init(of manifest: String, _ interruption: Interruption) throws(Failure) {
        self.interruption = interruption
        let manifest = try StateFolder.absolute(manifest)
        let (place, name) = split(manifest)
        guard name == Manifest.file else {
            throw Failure(
                .refused, "'\(manifest.printable(limit: 1024))' is not called \(Manifest.file)",
                hint: "name the \(Manifest.file) in the copy's folder")
        }
        let what = "cannot read \(manifest)"
        do throws(Errno) { folder = try Folder(real: place) } catch .noSuchFileOrDirectory {
            throw Failure(.noSuchThing, "\(what): there is no such folder")
        } catch {
            throw Failure(error, what, else: .refused)
        }
        path = folder.path
        let status = try explaining(what, else: .refused, folder.status)
        try Self.demandOurs(status, path)
        let list = try Self.read(DigestList.file, most: 1 << 20, in: folder)
        guard let digests = DigestList(list) else {
            throw Failure(.refused, "\(path)/\(DigestList.file) is not understood")
        }
        self.digests = digests
    }

    /// What is read twice is to be the same twice.
    private static func demandOurs(_ status: Stat, _ path: String) throws(Failure) {
        guard [0, geteuid()].contains(status.userID.rawValue), status.rawValue.st_mode & 0o022 == 0 else {
            throw Failure(
                .refused, "\(path): another user owns it or may write to it, and could change it while it is read",
                hint: "cp -r it to a place of your own")
        }
    }

    func refusal(_ what: String) -> Failure { Failure(.refused, "\(path): \(what)") }

    func open(_ name: String) throws(Failure) -> OpenFile { try Self.open(name, in: folder) }

    private static func open(_ name: String, in folder: Folder) throws(Failure) -> OpenFile {
        let path = folder.path(of: name)
        let file: OpenFile
        do throws(Errno) { file = try folder.open(name, O_RDONLY) } catch .noSuchFileOrDirectory {
            throw Failure(.noSuchThing, "\(path) is not there")
        } catch .tooManySymbolicLinkLevels {
            throw Failure(.refused, "\(path) is a symbolic link")
        } catch {
            throw Failure(error, "cannot read \(path)", else: .refused)
        }
        let status = try explaining("cannot read \(path)", else: .refused, file.status)
        guard status.type == .regular else { throw Failure(.refused, "\(path) is no regular file") }
        try demandOurs(status, path)
        return file
    }

    private static func read(_ name: String, most: Int64, in folder: Folder) throws(Failure) -> [UInt8] {
        let file = try open(name, in: folder)
        let (size, path) = (try explaining("cannot read \(name)", else: .refused, file.end), folder.path(of: name))
        guard size <= most else {
            throw Failure(
                .refused, "\(path) has \(ByteCount(size)), and \(ByteCount(most)) is the most that it may have")
        }
        return try explaining("cannot read \(path)", else: .refused) { () throws(Errno) in
            try file.read(Int(clamping: size))
        }
    }

    /// A small file, if it is what the list of digests says.
    func paper(_ name: String, most: Int64) throws(Failure) -> [UInt8] {
        let bytes = try Self.read(name, most: most, in: folder)
        guard let digest = digests.digest(of: name) else { throw refusal("\(DigestList.file) has no line for \(name)") }
        guard try sum(of: bytes) == digest else {
            throw Failure(.verificationFailed, "\(path)/\(name) is not what it was: its digest differs")
        }
        return bytes
    }

    /// Whoever filled the folder decides how long that takes, and who waits for it whether it goes on.
    private func sum(of bytes: [UInt8]) throws(Failure) -> String {
        var sum = SHA256()
        for start in stride(from: 0, to: bytes.count, by: 1 << 20) {
            try interruption.check()
            sum.update(bytes[start..<min(start + 1 << 20, bytes.count)])
        }
        return sum.hex()
    }

    /// By the disk's name and what its own header says.
    func image(of disk: MemberReport.Disk) throws(Failure) -> SavedCopy.Image {
        var found: [CopyFormat] = []
        for format in CopyFormat.allCases {
            let status = try explaining("cannot look into \(path)", else: .refused) { () throws(Errno) in
                try folder.status(of: "\(disk.target).\(format)")
            }
            if status != nil { found.append(format) }
        }
        guard let format = found.first, found.count == 1 else {
            let names = CopyFormat.allCases.map { "\(disk.target).\($0)" }.joined(separator: " or ")
            if found.isEmpty { throw Failure(.noSuchThing, "\(path): there is no \(names)") }
            throw refusal("there are both, \(names)")
        }
        let name = "\(disk.target).\(format)"
        let file = try open(name)
        let digest = digests.digest(of: name)
        if digest == nil, digests.covers(CopyReport.file) {
            throw refusal("\(DigestList.file) has no line for \(name)")
        }
        let size = try explaining("cannot read \(name)", else: .refused, file.end)
        switch format {
        case .raw:
            guard size == disk.virtualSizeBytes else {
                throw refusal("\(name) has \(size) bytes, and the disk had \(disk.virtualSizeBytes)")
            }
        case .qcow2:
            guard let header = try? Qcow2Header(of: file) else { throw refusal("\(name) is not a sound qcow2 image") }
            guard header.backing == nil else { throw refusal("\(name) lies on another image: a copy lies on none") }
            guard !header.hasDataFile else { throw refusal("\(name) keeps its data in another file") }
            guard header.virtualSizeBytes == disk.virtualSizeBytes else {
                throw refusal(
                    "\(name) shows \(header.virtualSizeBytes) bytes, and the disk had \(disk.virtualSizeBytes)")
            }
        }
        return SavedCopy.Image(
            target: disk.target, name: name, format: format, virtualSizeBytes: disk.virtualSizeBytes, digest: digest,
            file: file)
    }
}
