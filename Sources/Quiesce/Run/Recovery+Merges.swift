// SPDX-License-Identifier: Apache-2.0

/// Merges that a run left unfinished.
extension Recovery {
    /// Resumed where the guest runs. Switched off in the middle of it, it keeps its overlays, which are whole.
    func finishMerge(
        _ run: UnfinishedRun, _ facts: GuestFacts, _ account: inout RecoverReport.Run
    ) async throws(Failure) -> JournalEnding {
        let active = Dictionary(
            facts.disks.map { ($0.target, $0.activeImage?.path) }, uniquingKeysWith: { first, _ in first })
        if run.going.isEmpty, run.merges.contains(where: { !$0.isHead }) {
            return try await finishDelete(run, &account)
        }
        let open = run.going.isEmpty ? run.merges.filter { active[$0.target] == $0.top } : []
        let lost = run.merges.first { merge in
            let image = active[merge.target] ?? nil
            return image != merge.base && image != merge.top
        }
        if let lost, run.going.isEmpty {
            throw Failure(
                .quarantined,
                "\(lost.target) was being merged from \(lost.top) into \(lost.base), and now uses neither: nothing is touched",
                hint: "stillpoint disks \(guest.name)")
        }
        if !open.isEmpty {
            guard facts.power == .running else { return try await stopMerge(run, open, facts, &account) }
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

    /// Layers from the middle are known by more than their files: the delete is made again, which takes up where this one ended.
    private func finishDelete(
        _ run: UnfinishedRun, _ account: inout RecoverReport.Run
    ) async throws(Failure) -> JournalEnding {
        let tops = Set(run.merges.map(\.top))
        var left = tops
        for entry in try await ports.catalogue.entries(of: guest) where entry.fate.isPresent {
            let overlays = try await overlays(of: entry)
            guard !tops.isDisjoint(with: overlays) else { continue }
            do throws(Failure) {
                try await act(.merge, "\(entry.name), out of the middle", &account) { () throws(Failure) in
                    try await ports.deleteAgain(entry.run)
                }
                left.subtract(overlays)
            } catch {
                account.note(.merge, "\(entry.name) could not be merged to the end: \(error.message)")
            }
        }
        guard let file = left.min() else { return .done }
        account.note(.merge, "\(file) stays: the delete, commit or prune that was to merge it ends it when made again")
        return .failed
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
            let overlays = try await overlays(of: entry)
            guard !gone.isDisjoint(with: overlays), used.isDisjoint(with: overlays), entry.run != run.run else {
                continue
            }
            try await forget(entry.name, of: nil, facts, &account)
            try await act(.close, "\(entry.name), merged", &account) { () throws(Failure) in
                // Also where it is marked already: what lies beside the overlays goes with it.
                try await ports.catalogue.mark(entry.run, .committed)
            }
        }
    }

    private func overlays(of entry: CatalogueEntry) async throws(Failure) -> [String] {
        guard let report = try? await ports.catalogue.manifest(of: entry.run) else { return [] }
        return report.members.filter { $0.domain.uuid == guest.uuid }.flatMap { $0.snapshot?.disks ?? [] }.map(
            \.overlay)
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
