// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// The catalogue for those who only look: a snapshot whose manifest cannot be read hides no other. It is there, without its
/// disks, and why is kept.
public final class CatalogueView: Catalogue {
    private let catalogue: any Catalogue
    private let found = Mutex<[RunID: Failure]>([:])

    public init(of catalogue: any Catalogue) { self.catalogue = catalogue }

    /// Why manifests could not be read, by their runs.
    public var unread: [RunID: Failure] { found.withLock { $0 } }

    public func manifest(of run: RunID) async throws(Failure) -> RunReport {
        do throws(Failure) { return try await catalogue.manifest(of: run) } catch {
            found.withLock { $0[run] = error }
            return RunReport(unread: run)
        }
    }

    public func entries(of guest: GuestIdentity?) async throws(Failure) -> [CatalogueEntry] {
        try await catalogue.entries(of: guest)
    }

    public func uses(of guest: GuestIdentity?) async throws(Failure) -> [SnapshotUse] {
        try await catalogue.uses(of: guest)
    }

    public func add(
        _ report: RunReport, definition: String, artifacts: [HookReply.Artifact]
    ) async throws(Failure) {
        try await catalogue.add(report, definition: definition, artifacts: artifacts)
    }

    public func mark(_ run: RunID, _ fate: CatalogueEntry.Fate) async throws(Failure) {
        try await catalogue.mark(run, fate)
    }
}

extension RunReport {
    /// In place of a manifest that cannot be read: no guest, no disks.
    fileprivate init(unread run: RunID) {
        let never = Timestamp(milliseconds: 0, offset: 0)
        self.init(
            schema: Self.schema, run: run.description, startedAt: never, finishedAt: never, required: .none,
            verdict: Verdict(consistency: .none), exit: ExitStatus.internalError.rawValue,
            versions: Versions(stillpoint: "", libvirt: "", qemu: ""), startedBy: Starter(uid: 0, user: ""), members: []
        )
    }
}
