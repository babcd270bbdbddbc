// SPDX-License-Identifier: Apache-2.0

/// Merges that a run left unfinished.
extension Recovery {
    /// Resumed where the guest runs. Switched off in the middle of it, it keeps its overlays, which are whole.
    func finishMerge(
        _ run: UnfinishedRun, _ facts: GuestFacts, _ account: inout RecoverReport.Run
    ) async throws(Failure) -> JournalEnding {
        let active = Dictionary(
            facts.disks.map { ($0.target, $0.activeImage?.path) }, uniquingKeysWith: { first, _ in first })
        // In the middle it is too where something was laid on it since; what is in no chain any more is left alone there.
        let isInMiddle = run.merges.contains { merge in
            let image = active[merge.target] ?? nil
            return !merge.isHead || image != merge.base && image != merge.top
        }
        if run.going.isEmpty, isInMiddle { return try await finishDelete(run, facts, &account) }
        let open = run.going.isEmpty ? run.merges.filter { active[$0.target] == $0.top } : []
        if !open.isEmpty {
            guard facts.power != .shutOff else { return try await stopMerge(run, open, facts, &account) }
            try await resume(open, &account)
        }
        var files = run.going
        if files.isEmpty {
            for merge in run.merges { files += try await layers(of: merge) }
            let going = files
            if !isDryRun { try await ports.journal.record(.removing(files: going), of: run.run, at: ports.time.wall) }
        }
        try await remove(files, of: run, merged: open, &account)
        return run.overlays.isEmpty ? .done : .undone
    }

    /// Layers from the middle are known by more than their files: just these are merged again, which takes up where the run
    /// ended. Where that is refused it is told and closed, since it would be in the way of all else, and whoever wants it makes
    /// it again.
    private func finishDelete(
        _ run: UnfinishedRun, _ facts: GuestFacts, _ account: inout RecoverReport.Run
    ) async throws(Failure) -> JournalEnding {
        // QEMU goes on with the job of a run that died. Of two on one disk the first in the list comes first.
        var jobs: [Merge] = []
        for merge in run.merges where facts.isMerging(merge) && !jobs.contains(where: { $0.target == merge.target }) {
            jobs.append(merge)
        }
        if !jobs.isEmpty { try await resume(jobs, &account) }
        let now = jobs.isEmpty ? facts : try await look(for: run)
        var groups: [CommitRun.LayerGroup] = []
        var isKnown = true
        for merge in run.merges {
            let layers = try await layers(of: merge)
            guard !layers.isEmpty else { continue }
            if merge.isHead, now.isElsewhere(merge) {
                account.note(
                    .merge,
                    "\(merge.top) stays: \(merge.target) is neither on it nor on \(merge.base), and nobody knows how much of it went there"
                )
                isKnown = false
                continue
            }
            groups.append(.init(layers: layers, base: merge.base, isMerged: now.hasMerged(merge)))
        }
        guard !groups.isEmpty else { return isKnown ? .done : .failed }
        let (left, names) = (groups, groups.flatMap(\.layers).joined(separator: " "))
        do throws(Failure) {
            try await act(.merge, "\(names), out of the middle", &account) { () throws(Failure) in
                try await ports.mergeAgain(left)
            }
            return isKnown ? .done : .failed
        } catch {
            guard [.refused, .noSuchThing].contains(error.status) else { throw error }
            account.note(
                .merge,
                "\(names) stays: \(error.message); the delete, commit or prune that was to merge it ends it when made again\(error.hint.map { " (\($0))" } ?? "")"
            )
            return .failed
        }
    }

    private func resume(_ merges: [Merge], _ account: inout RecoverReport.Run) async throws(Failure) {
        let detail = merges.map { "\($0.target): \($0.top) into \($0.base)" }.joined(separator: ", ")
        try await act(.merge, detail, &account) { () throws(Failure) in
            try await ports.hypervisor.merge(merges, options: MergeOptions(interruption: interruption)) {
                [tell] in tell(.merging($0))
            }
        }
    }

    /// From the top down to the base, without it; by the headers, since a chain that was merged names them no more.
    private func layers(of merge: Merge) async throws(Failure) -> [String] {
        let chain: [ImageLayer]
        do throws(Failure) {
            chain = try await ports.images.chain(of: ImageLayer(path: merge.top, format: "qcow2"))
        } catch {
            // Removed already.
            if error.status == .noSuchThing { return [] }
            throw error
        }
        let paths = chain.map(\.path)
        guard let end = paths.firstIndex(of: merge.base) else {
            throw Failure(
                .quarantined, "\(merge.top) does not lie on \(merge.base) by its own header: nothing is removed",
                hint: "stillpoint disks \(guest.name)")
        }
        return Array(paths[..<end])
    }

    private func remove(
        _ files: [String], of run: UnfinishedRun, merged: [Merge], _ account: inout RecoverReport.Run
    ) async throws(Failure) {
        let facts = try await look(for: run)
        let used = isDryRun ? facts.usedImages.subtracting(merged.map(\.top)) : facts.usedImages
        if let file = files.first(where: { used.contains($0) || facts.sharedImages[$0] != nil }) {
            throw Failure(.quarantined, "\(file) was to be removed, but is in use: nothing is touched")
        }
        if !files.isEmpty {
            try await act(.remove, files.joined(separator: " "), &account) { () throws(Failure) in
                try await ports.images.remove(files, of: run.run)
            }
        }
        if !run.overlays.isEmpty { try await forget(run.name, of: run, facts, &account) }
        let gone = Set(files)
        for entry in try await ports.catalogue.entries(of: guest) {
            guard let snapshot = await snapshot(of: entry) else { continue }
            let overlays = snapshot.disks.map(\.overlay)
            guard !gone.isDisjoint(with: overlays), used.isDisjoint(with: overlays), entry.run != run.run else {
                continue
            }
            try await forget(entry.name, of: nil, facts, &account)
            // The memory of a moment that the disks have left behind.
            if let file = snapshot.memory?.file, !gone.contains(file) {
                try await act(.remove, file, &account) { () throws(Failure) in
                    try await ports.images.remove([file], of: run.run)
                }
            }
            try await act(.close, "\(entry.name), merged", &account) { () throws(Failure) in
                // Also where it is marked already: what lies beside the overlays goes with it.
                try await ports.catalogue.mark(entry.run, .committed)
            }
        }
    }

    private func snapshot(of entry: CatalogueEntry) async -> MemberReport.Snapshot? {
        guard let report = try? await ports.catalogue.manifest(of: entry.run) else { return nil }
        return report.members.first { $0.domain.uuid == guest.uuid }?.snapshot
    }

    /// The guest is off and its overlays are whole: they stay, and what they lie on is no frozen image any more.
    private func stopMerge(
        _ run: UnfinishedRun, _ open: [Merge], _ facts: GuestFacts, _ account: inout RecoverReport.Run
    ) async throws(Failure) -> JournalEnding {
        account.note(
            .merge,
            "\(guest.name) does not run: the merge is given up, and \(open.map(\.top).joined(separator: " ")) stays")
        if let intent = run.intent {
            let tops = Set(open.map(\.top))
            try await adopt(run, intent.disks.filter { tops.contains($0.overlay) }, facts, &account)
        }
        return .failed
    }
}

extension GuestFacts {
    /// The disk is on something that says nothing of the merge: laid on the base, by whoever it was.
    fileprivate func isElsewhere(_ merge: Merge) -> Bool {
        let chain = chain(of: merge)
        return !chain.contains(merge.top) && chain.first != merge.base
    }

    /// The guest's own chain, of which the merge was, has the base and not the top any more.
    fileprivate func hasMerged(_ merge: Merge) -> Bool {
        let chain = chain(of: merge)
        return merge.isOnBranch != true && chain.contains(merge.base) && !chain.contains(merge.top)
    }

    /// A block job runs on that disk, whose chain still has the merge's top.
    fileprivate func isMerging(_ merge: Merge) -> Bool {
        chain(of: merge).contains(merge.top) && disks.contains { $0.target == merge.target && $0.blockJob != nil }
    }

    private func chain(of merge: Merge) -> [String] {
        disks.first { $0.target == merge.target }?.liveChain.map(\.path) ?? []
    }
}
