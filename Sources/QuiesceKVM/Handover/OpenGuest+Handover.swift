// SPDX-License-Identifier: Apache-2.0

import Glibc
public import Quiesce

/// Beginning and ending what a snapshot is handed over for.
extension OpenGuest {
    /// What can be known before the snapshot that is to be handed over.
    public func demandExports(_ way: SnapshotUse.Way) throws(Failure) {
        guard way == .fuse else { return }
        let work = try workplace.exportFolder()
        do throws(StorageDaemonError) { _ = try StorageDaemon(in: work) } catch {
            guard case .notAvailable(let reason) = error else { return }
            throw Failure(
                .refused, "the disks of \(identity.name) cannot be shown as files: \(reason); nothing was done",
                hint: "--images hands over the image files themselves")
        }
    }

    /// Begun runs of this guest, and runs whose process is gone: what `end` ends.
    public func openUses() async throws(Failure) -> [SnapshotUse] {
        try await ledger.uses(of: identity).filter { $0.kind == .begin || ($0.kind == .run && !$0.isServed) }
    }

    /// The begun run of that label, still in its time.
    public func begun(_ label: String?) async throws(Failure) -> SnapshotUse? {
        try await openUses().first { $0.kind == .begin && $0.label == label && !$0.isOverdue(at: time.wall) }
    }

    /// Shows a begun run's disks again if what served them is gone, after a kill or a boot.
    public func takeUp(_ use: SnapshotUse) async throws(Failure) -> HandoverReport {
        let report = try await ledger.manifest(of: use.run)
        _ = try await exportable(report)
        let disks: [ExportedDisk]
        if use.way == .images || use.isServed {
            disks =
                report.members.first { $0.domain.uuid == identity.uuid }.map { ImageExport.disks(of: $0, use) } ?? []
        } else {
            try await workplace.close(use)
            let export = try await export(report, as: .begin, use.way, in: use.folder, again: use)
            disks = export.disks
            try await export.leave()
        }
        var handover = HandoverReport(report, manifest: manifestPath(of: use.run), use: use, disks: disks)
        handover.isTakenUp = true
        return handover
    }

    public func manifestPath(of run: RunID) -> String { Manifest.path(of: run, in: workplace.state) }

    /// Ends by itself what nobody ends; says why where that is left to the next command.
    public func limit(_ use: SnapshotUse) async -> String? { await timer(of: use).set(now: time.wall) }

    private func timer(of use: SnapshotUse) -> LifeTimer {
        LifeTimer(use: use, uri: identity.uri, state: workplace.state.path)
    }

    /// What would be merged.
    public func endPreview(_ use: SnapshotUse) async throws(Failure) -> CommitReport? {
        guard try await isKept(use) else { return nil }
        return try await merge { _ in }.plan(request(use, MergeOptions())).report(.commit)
    }

    /// Ends one of ``openUses()``, or our own run: what serves it, its snapshot, and last the note of it, so that it can be
    /// ended again if this fails.
    ///
    /// - Returns: nil if the snapshot was merged already.
    public func end(
        _ use: SnapshotUse, waiting wait: Duration, options: MergeOptions = MergeOptions(), interruption: Interruption,
        telling listener: @escaping @Sendable (RunEvent) -> Void
    ) async throws(Failure) -> CommitReport? {
        var report: CommitReport?
        let merge = try merge(telling: listener)
        let request = request(use, options)
        let isKept = try await isKept(use)
        do throws(Failure) {
            // Nobody's disks are hidden for a merge that is refused.
            if isKept { _ = try await merge.plan(request) }
            try await workplace.close(use)
            if isKept {
                let run = RunID.random()
                report = try await held(for: "end", by: run, waiting: wait, interruption: interruption) {
                    _ throws(Failure) in try await merge.execute(try await merge.plan(request), request, as: run)
                }
            }
        } catch {
            // Somebody else merged it: there is nothing left to do.
            guard error.status == .noSuchThing else { throw error }
            try await workplace.close(use)
        }
        try await ledger.forget(use)
        await timer(of: use).cancel()
        return report
    }

    private func request(_ use: SnapshotUse, _ options: MergeOptions) -> CommitRun.Request {
        var request = CommitRun.Request()
        (request.name, request.ending, request.options) = (use.run.description, use.id, options)
        return request
    }

    private func isKept(_ use: SnapshotUse) async throws(Failure) -> Bool {
        try await ledger.entries(of: identity).contains { $0.run == use.run && [.kept, .merging].contains($0.fate) }
    }

    /// Ends what should have ended by now. That it cannot be done is told, and no reason to stop.
    public func endOverdue(
        interruption: Interruption, telling listener: @escaping @Sendable (RunEvent) -> Void
    ) async {
        let now = time.wall
        guard let uses = try? await ledger.uses(of: identity).filter({ $0.isOverdue(at: now) }) else { return }
        for use in uses where interruption.status == nil {
            do throws(Failure) {
                _ = try await end(
                    use, waiting: .zero, options: MergeOptions(interruption: interruption), interruption: interruption,
                    telling: listener)
                listener(.note("\(use.snapshot), \(use.words), was ended"))
            } catch {
                listener(.note("\(use.snapshot), \(use.words), could not be ended: \(error.message)"))
            }
        }
    }
}
