// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Synchronization

final class ScriptedJournal: Journal, Catalogue {
    private let log: Log
    private let kept = Mutex<[RunReport]>([])
    private let fates = Mutex<[RunID: CatalogueEntry.Fate]>([:])
    private let opened = Mutex<[RunID: UnfinishedRun]>([:])

    init(log: Log) { self.log = log }

    /// The manifests that were added, oldest first.
    var manifests: [RunReport] { kept.withLock { $0 } }

    func open(_ run: RunID, for guest: GuestIdentity, named name: String, at time: Timestamp) async throws(Failure) {
        try log.answer(.journalOpened, "\(guest.name) \(name)")
        opened.withLock { $0[run] = UnfinishedRun(run: run, guest: guest, name: name, startedAt: time, steps: []) }
    }

    func record(_ step: JournalStep, of run: RunID, at time: Timestamp) async throws(Failure) {
        switch step {
        case .staging(let overlays, _): try log.answer(.staging, overlays.joined(separator: " "))
        case .preparing(let hooks): try log.answer(.preparing, hooks.map(\.name).joined(separator: " "))
        case .released(let hooks): try log.answer(.released, hooks.joined(separator: ", "))
        case .window(let mountpoints, _): try log.answer(.window, mountpoints.joined(separator: " "))
        case .windowClosed(let cut, let thawed, _): try log.answer(.windowClosed, "cut \(cut), thawed \(thawed)")
        case .registering(let name): try log.answer(.registering, name)
        case .merging(let merges):
            try log.answer(.merging, merges.map(\.target.description).joined(separator: " "))
        case .removing(let files): try log.answer(.removing, files.joined(separator: " "))
        case .shuttingDown: try log.answer(.shuttingDown)
        case .startedAgain: try log.answer(.startedAgain)
        case .freezingByHand(let mountpoints, _):
            try log.answer(.freezingByHand, mountpoints.joined(separator: " "))
        case .thawed: try log.answer(.thawed)
        case .reverting(let name, let images, _):
            try log.answer(.reverting, "\(name): \(images.joined(separator: " "))")
        }
        opened.withLock { $0[run]?.steps.append(step) }
    }

    func close(_ run: RunID, _ ending: JournalEnding, at time: Timestamp) async throws(Failure) {
        try log.answer(.journalClosed, ending.rawValue)
        opened.withLock { $0[run] = nil }
    }

    func unfinished() async throws(Failure) -> [UnfinishedRun] {
        try log.refusal(of: .unfinished)
        return opened.withLock { $0.values.sorted { $0.startedAt < $1.startedAt } }
    }

    func add(
        _ report: RunReport, definition: String, artifacts: [HookReply.Artifact]
    ) async throws(Failure) {
        try log.answer(.catalogue, definition)
        for artifact in artifacts { log.hear(.artifact, artifact.name) }
        kept.withLock { $0.append(report) }
    }

    func entries(of guest: GuestIdentity?) async throws(Failure) -> [CatalogueEntry] {
        manifests.compactMap { report in
            guard let run = RunID(report.run), let member = report.members.first, let snapshot = member.snapshot else {
                return nil
            }
            return CatalogueEntry(
                run: run, guest: member.domain, name: snapshot.name, createdAt: report.startedAt,
                consistency: report.verdict.consistency, fate: fates.withLock { $0[run] } ?? .kept)
        }
    }

    func manifest(of run: RunID) async throws(Failure) -> RunReport {
        guard let report = manifests.first(where: { $0.run == run.description }) else {
            throw Failure(.noSuchThing, "no manifest of \(run)")
        }
        return report
    }

    /// Set before the run that is to meet them.
    let readers = Mutex<[SnapshotUse]>([])

    func uses(of guest: GuestIdentity?) async throws(Failure) -> [SnapshotUse] { readers.withLock { $0 } }

    func mark(_ run: RunID, _ fate: CatalogueEntry.Fate) async throws(Failure) {
        try log.answer(.mark, fate.rawValue)
        fates.withLock { $0[run] = fate }
    }
}
