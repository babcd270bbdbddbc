// SPDX-License-Identifier: Apache-2.0

import Glibc
import JSON
import Quiesce
import SystemPackage

/// A run's papers, as files: `manifest.json`, the guest's `domain.xml`, what hooks gave (`postgresql-15-main-backup_label`)
/// and the digests of them all, in `runs/<run>/` of the state folder and in `.stillpoint/<run>/` beside the overlays, so
/// that either place alone tells what the images are.
struct Manifest {
    private let report: RunReport
    private let files: [(name: String, bytes: [UInt8])]

    init(_ report: RunReport, definition: String, artifacts: [HookReply.Artifact]) throws(Failure) {
        self.report = report
        do {
            let text = try JSONValue(encoding: report).text(.pretty) + "\n"
            let manifest = (name: Self.file, bytes: Array(text.utf8))
            let others =
                artifacts.map { (name: $0.name, bytes: $0.bytes) } + [(Self.definition, Array(definition.utf8))]
            files = others + [(DigestList.file, DigestList(of: others + [manifest]).bytes), manifest]
        } catch {
            throw Failure(.internalError, "the manifest of run \(report.run) cannot be written: \(error)")
        }
    }

    func keep(in state: StateFolder) throws(Failure) {
        try explaining("cannot write the manifest in \(state.path)", else: .internalError) { () throws(Errno) in
            try put(in: try state.folder.folder(Self.runs, makingWith: 0o700))
        }
    }

    func keepBesideOverlays() throws(Failure) {
        for place in report.overlayFolders {
            try explaining("cannot write the manifest in \(place)", else: .internalError) { () throws(Errno) in
                // Twice, since another run may remove the folder while it is empty.
                do throws(Errno) { try put(beside: place) } catch .noSuchFileOrDirectory { try put(beside: place) }
            }
        }
    }

    private func put(beside place: String) throws(Errno) {
        let beside = try Folder(real: place).folder(Self.beside, makingWith: 0o700)
        guard try beside.belongsToUsAlone() else { throw .notPermitted }
        try put(in: beside)
    }

    /// The state folder's copy; a missing or damaged one is an error, never an empty report.
    static func report(of run: RunID, in state: StateFolder) throws(Failure) -> RunReport {
        let bytes = try paper(file, of: run, in: state)
        do { return try JSONValue(parsing: bytes, limits: .ofOurOwn).decode(RunReport.self) } catch {
            throw Failure(.internalError, "cannot read the manifest of run \(run): \(error)")
        }
    }

    /// The guest's definition when the cut was made.
    static func definition(of run: RunID, in state: StateFolder) throws(Failure) -> String {
        String(decoding: try paper(definition, of: run, in: state), as: UTF8.self)
    }

    /// One of a run's papers, if all of them are as they were written.
    static func paper(_ file: String, of run: RunID, in state: StateFolder) throws(Failure) -> [UInt8] {
        let what = "cannot read the manifest of run \(run)"
        let (bytes, damaged) = try explaining(what, else: .internalError) { () throws(Errno) -> ([UInt8], String?) in
            guard let folder = try state.folder.folder(runs)?.folder(run.description),
                let bytes = try folder.contents(of: file)
            else { return ([], nil) }
            guard let digests = try folder.contents(of: DigestList.file).flatMap(DigestList.init),
                file == DigestList.file || digests.covers(file)
            else { return (bytes, DigestList.file) }
            return (bytes, try digests.firstDifference(in: folder))
        }
        if let damaged {
            throw Failure(
                .internalError, "\(what): \(damaged) in \(state.path)/\(runs)/\(run) is not as it was written",
                hint: "another copy lies beside the overlays, in \(beside)/\(run)")
        }
        if bytes.isEmpty { throw Failure(.noSuchThing, "\(what): it is not in \(state.path)") }
        return bytes
    }

    /// The names of all of a run's papers but the list of their digests.
    static func names(of run: RunID, in state: StateFolder) throws(Failure) -> [String] {
        DigestList(try paper(DigestList.file, of: run, in: state))?.names ?? []
    }

    /// All of them, as they were written.
    static func papers(of run: RunID, in state: StateFolder) throws(Failure) -> [(name: String, bytes: [UInt8])] {
        var papers: [(name: String, bytes: [UInt8])] = []
        for name in try names(of: run, in: state) { papers.append((name, try paper(name, of: run, in: state))) }
        return papers
    }

    static func path(of run: RunID, in state: StateFolder, _ paper: String = file) -> String {
        "\(state.path)/\(runs)/\(run)/\(paper)"
    }

    /// Where the guardian of a run leaves its last word.
    static func guardNote(of run: RunID, in state: StateFolder) throws(Failure) -> OpenFile {
        try explaining("cannot write in \(state.path)", else: .internalError) { () throws(Errno) in
            try state.folder.folder(runs, makingWith: 0o700).folder(run.description, makingWith: 0o700)
                .open(note, O_RDWR | O_CREAT | O_APPEND, mode: 0o600)
        }
    }

    /// The guardian's last word, as far as it can be read.
    static func guardWord(of run: RunID, in state: StateFolder) -> String? {
        let folder = try? state.folder.folder(runs)?.folder(run.description)
        guard let bytes = try? folder?.contents(of: note) else { return nil }
        let word = ToolResult.printable(bytes.split(separator: 0x0A).first ?? [])
        return word.isEmpty ? nil : word
    }

    /// Of a guardian that had nothing to do, or whose word was told, nothing is kept, nor an empty folder.
    static func forgetGuard(of run: RunID, in state: StateFolder) {
        guard let runs = try? state.folder.folder(runs) else { return }
        try? runs.folder(run.description)?.unlink(note)
        _ = try? runs.removeFolder(run.description)
    }

    /// Of a run that came to nothing, papers are kept that were written to their end: the manifest, or of a revert the
    /// branch, comes last.
    static func forgetUnfinished(of run: RunID, in state: StateFolder) {
        forgetGuard(of: run, in: state)
        guard let runs = try? state.folder.folder(runs), let folder = try? runs.folder(run.description),
            let names = try? folder.names(), !names.contains(file), !names.contains(branch)
        else { return }
        for name in names { try? folder.unlink(name) }
        _ = try? runs.removeFolder(run.description)
    }

    /// What a hook gave, as long as it is what the manifest says.
    static func artifact(_ artifact: MemberReport.Application.Artifact, of run: RunID, in state: StateFolder)
        throws(Failure) -> [UInt8]
    {
        let what = "cannot read \(artifact.name) of run \(run)"
        let bytes = try explaining(what, else: .internalError) { () throws(Errno) -> [UInt8] in
            guard let folder = try state.folder.folder(runs)?.folder(run.description) else {
                throw .noSuchFileOrDirectory
            }
            let file = try folder.open(artifact.name, 0)
            return try file.read(Int(clamping: file.status().size))
        }
        guard SHA256.hex(of: bytes) == artifact.sha256 else {
            throw Failure(
                .internalError, "\(what): it is not what the manifest says, so the file was damaged or changed")
        }
        return bytes
    }

    /// UEFI variables in a run's papers; nil if there are none.
    static func variables(of run: RunID, in state: StateFolder) throws(Failure) -> [UInt8]? {
        let what = "cannot read the UEFI variables of run \(run)"
        let (bytes, isSealed) = try explaining(what, else: .internalError) { () throws(Errno) -> ([UInt8]?, Bool) in
            guard let folder = try state.folder.folder(runs)?.folder(run.description) else { return (nil, false) }
            let variables = try folder.contents(of: MemberReport.Variables.file)
            return (variables, try folder.status(of: DigestList.file) != nil)
        }
        guard bytes != nil, isSealed else { return bytes }
        return try paper(MemberReport.Variables.file, of: run, in: state)
    }

    /// What a revert leaves behind, and with `definition` the guest's from before it.
    static func keep(
        _ branch: Branch, definition: String?, variables: [UInt8]?, in state: StateFolder
    ) throws(Failure) {
        let text: String
        do { text = try JSONValue(encoding: branch).text(.pretty) + "\n" } catch {
            throw Failure(.internalError, "what is left behind cannot be written: \(error)")
        }
        do throws(Failure) {
            try explaining("cannot write in \(state.path)", else: .internalError) { () throws(Errno) in
                let parent = try state.folder.folder(runs, makingWith: 0o700)
                let folder = try parent.folder(branch.run.description, makingWith: 0o700)
                if let definition { try folder.write(Array(definition.utf8), as: Self.definition) }
                if let variables { try folder.write(variables, as: MemberReport.Variables.file) }
                try folder.write(Array(text.utf8), as: Self.branch)
                try parent.sync()
            }
        } catch {
            forgetUnfinished(of: branch.run, in: state)
            throw error
        }
    }

    static func branch(of run: RunID, in state: StateFolder) throws(Failure) -> Branch {
        let what = "cannot read what run \(run) left behind"
        let bytes = try explaining(what, else: .internalError) { () throws(Errno) in
            try state.folder.folder(runs)?.folder(run.description)?.contents(of: branch) ?? []
        }
        do { return try JSONValue(parsing: bytes, limits: .ofOurOwn).decode(Branch.self) } catch {
            throw Failure(.internalError, "\(what): \(error)")
        }
    }

    /// The manifest last: where it is, the rest is.
    private func put(in parent: Folder) throws(Errno) {
        let folder = try parent.folder(report.run, makingWith: 0o700)
        for (name, bytes) in files { try folder.write(bytes, as: name) }
        try parent.sync()
    }

    static let runs = "runs"
    fileprivate static let beside = ".stillpoint"
    static let file = "manifest.json"
    static let definition = "domain.xml"
    private static let note = "guard"
    private static let branch = "branch.json"
}

extension RunReport {
    fileprivate var overlayFolders: [String] {
        Set(members.flatMap { $0.snapshot?.disks ?? [] }.map { split($0.overlay).folder }).sorted()
    }

    /// Removes `.stillpoint/<run>` beside the overlays, and `.stillpoint` with the last of them.
    func removeBesideOverlays() throws(Failure) {
        for place in overlayFolders {
            try explaining("cannot remove the manifest in \(place)", else: .internalError) { () throws(Errno) in
                let folder: Folder
                do throws(Errno) { folder = try Folder(real: place) } catch .noSuchFileOrDirectory { return }
                guard let beside = try folder.folder(Manifest.beside), try beside.belongsToUsAlone() else { return }
                // The run's own is not there where it could not be made, or went before this broke off.
                if let papers = try beside.folder(run) {
                    for name in try papers.names() { try papers.unlink(name) }
                    try beside.removeFolder(run)
                }
                try folder.removeFolder(Manifest.beside)
                try folder.sync()
            }
        }
    }
}
