// SPDX-License-Identifier: Apache-2.0

import Glibc
public import Quiesce
import SystemPackage

/// Showing the frozen images of a snapshot to others.
extension OpenGuest {
    /// Opens the images of that snapshot for readers. The caller has the guest's lock, and serves or leaves what it gets.
    ///
    /// - Parameters:
    ///   - folder: for files or socket; nil for one in the state folder, always the same as long as it is free, so
    ///     that backup programs which compare by path find the files again.
    ///   - earlier: what this one goes on.
    public func export(
        _ report: RunReport, as kind: SnapshotUse.Kind, _ way: SnapshotUse.Way, in folder: String?,
        label: String? = nil, until: Timestamp? = nil, again earlier: SnapshotUse? = nil
    ) async throws(Failure) -> ImageExport {
        let (run, member) = try await exportable(report)
        try await workplace.clearLeavings()
        let work = try workplace.exportFolder()
        var place = folder
        if way != .images, folder == nil {
            let name = SnapshotName(identity.name)?.description ?? identity.uuid
            let taken = try await ledger.uses(of: nil).map(\.folder)
            let usual = "\(work)/\(name)"
            place = taken.contains(usual) ? "\(usual).\(run.short)" : usual
        }
        var use =
            earlier
            ?? SnapshotUse(
                kind, of: run, member.snapshot?.name ?? "", identity, label: label, since: time.wall, until: until,
                way: way, folder: place)
        use.process = .current
        return try await ImageExport(member, as: use, in: work, ledger: ledger)
    }

    /// The disks as ``export(_:as:_:in:label:until:)`` would show them; nothing is touched.
    public func exportPreview(
        _ report: RunReport, _ way: SnapshotUse.Way, in folder: String
    ) async throws(Failure) -> ExportReport {
        let (run, member) = try await exportable(report)
        let use = SnapshotUse(
            .export, of: run, member.snapshot?.name ?? "", identity, since: time.wall, way: way, folder: folder)
        return ExportReport(report, use, disks: ImageExport.disks(of: member, use), isDetached: false, isDryRun: true)
    }

    func exportable(_ report: RunReport) async throws(Failure) -> (RunID, MemberReport) {
        guard let run = RunID(report.run),
            let member = report.members.first(where: { $0.domain.uuid == identity.uuid }),
            let snapshot = member.snapshot
        else { throw Failure(.noSuchThing, "run \(report.run) has left no snapshot of \(identity.name)") }
        // What the guest writes to is not frozen any more: its overlay was merged or is left behind.
        let disks = try await hypervisor.disks()
        for disk in snapshot.disks {
            let now = disks.first { $0.target == disk.target }
            if now?.activeImage?.path == disk.frozenImage || now?.savedImage == disk.frozenImage {
                throw Failure(
                    .refused,
                    "\(identity.name) writes to \(disk.frozenImage) again: \(disk.target) of \(snapshot.name) is not what it was at the cut",
                    hint: "stillpoint list \(identity.name)")
            }
        }
        if let loss = try await loss(of: run, member) {
            throw Failure(.refused, loss, hint: "stillpoint list \(identity.name)")
        }
        return (run, member)
    }

    /// Why its images are not any more what the manifest says; nil where they are.
    public func loss(of report: RunReport) async throws(Failure) -> String? {
        guard let run = RunID(report.run), let member = report.members.first(where: { $0.domain.uuid == identity.uuid })
        else { return nil }
        return try await loss(of: run, member)
    }

    private func loss(of run: RunID, _ member: MemberReport) async throws(Failure) -> String? {
        guard let snapshot = member.snapshot else { return nil }
        return try await lineage(in: workplace).loss(of: run, snapshot.disks)
    }
}

extension Workplace {
    /// Ends what serves this use, and removes what was shown. The use itself stays written down.
    func close(_ use: SnapshotUse) async throws(Failure) {
        if use.kind == .export, let process = use.process, process.isAlive, process != .current {
            // The daemon itself, or a stillpoint in the foreground, which clears up by itself.
            kill(process.pid, SIGTERM)
            let limit = time.now + .seconds(10)
            while process.isAlive, time.now < limit { await time.sleep(until: time.now + .milliseconds(10)) }
        }
        await StorageDaemon.stop(use.id.description, in: try exportFolder())
        // A copy's folder is there only when it is whole.
        if let folder = use.folder, use.kind != .copy { await ExportFolder.clear(folder, use.files) }
    }

    /// Ends these exports.
    public func stop(_ uses: [SnapshotUse]) async throws(Failure) {
        for use in uses {
            try await close(use)
            try await ledger.forget(use)
        }
    }

    /// Removes what exports have left whose process is gone: after a kill, or a boot.
    func clearLeavings() async throws(Failure) {
        try await stop(
            try await ledger.uses(of: nil).filter { ($0.kind == .export || $0.kind == .copy) && !$0.isServed })
    }

    /// Of our own: ids of daemons, and the folders of those exports that have none of the caller's.
    func exportFolder() throws(Failure) -> String {
        try explaining("cannot write in \(state.path)", else: .internalError) { () throws(Errno) in
            try state.folder.folder("export", makingWith: 0o700).path
        }
    }

    public static func absolute(_ path: String) throws(Failure) -> String { try StateFolder.absolute(path) }
}
