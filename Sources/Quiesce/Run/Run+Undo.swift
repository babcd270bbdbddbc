// SPDX-License-Identifier: Apache-2.0

/// Taking a snapshot back after the window.
extension SnapshotRun {
    func takeBack(_ record: inout RunRecord, _ failure: Failure) async -> RunReport {
        (record.status, record.failure) = (failure.status, failure)
        switch failure.status {
        case .maybeFrozen, .quarantined:
            // Where the guest writes is not certain: no file is touched, and what is known of it is kept.
            record.verdict.void(because: failure.message)
            if record.isCut { await keepAnyway(&record) }
            // A freeze without its thaw stays open in the journal, for `thaw` and whoever comes after us, and for `recover` so do
            // overlays of which nobody knows whether the guest is on them.
            return await finish(&record, failure.status == .quarantined && record.isCut ? .failed : nil)
        default: break
        }
        if record.isCut { return await finish(&record, undoCut(&record, failure)) }
        record.verdict.void(because: failure.message)
        return await finish(&record, discardUnused(&record))
    }

    private func undoCut(_ record: inout RunRecord, _ failure: Failure) async -> JournalEnding? {
        tell(.began(.undo))
        let start = ports.time.now
        var isMerging = false
        do throws(Failure) {
            try await goBack(record, &isMerging)
        } catch {
            record.add(.undo, .failed, from: start, to: ports.time.now, error.message)
            let merged = await merged()
            record.undone = merged ?? []
            record.end(because: "\(failure.message); \(whatStays(record.undone)): \(error.message)")
            // A merge that was begun has written to the frozen images.
            if isMerging { record.verdict.consistency = .none }
            await keepAnyway(&record)
            if isMerging { try? await ports.catalogue.mark(run, .merging) }
            // Where nobody knows what became of it, `recover` has to look.
            return merged == nil ? nil : await removeMergedBack(record.undone)
        }
        // The guest is back on its base: there is no snapshot any more, whatever becomes of its leavings.
        record.isCut = false
        record.verdict = Verdict(consistency: .none, reasons: record.verdict.reasons)
        do throws(Failure) {
            let overlays = plan.staged.map(\.overlay) + (plan.method.memoryFile.map { [$0] } ?? [])
            try await remove(overlays)
            if record.isRegistered, plan.method != .inside { try await ports.hypervisor.unregister(request.name) }
            record.add(.undo, .ok, from: start, to: ports.time.now)
            record.verdict.reasons.append(failure.message)
            return .undone
        } catch {
            record.add(.undo, .failed, from: start, to: ports.time.now, error.message)
            record.end(because: "\(failure.message); merged back, but not all was removed: \(error.message)")
            return nil
        }
    }

    /// From the overlays to their bases: by merging where something may have been written to them.
    private func goBack(_ record: RunRecord, _ isMerging: inout Bool) async throws(Failure) {
        let merges = plan.disks.map { Merge(target: $0.target, top: $0.overlay, base: $0.base.path) }
        try await ports.journal.record(.merging(merges), of: run, at: ports.time.wall)
        if plan.method == .inside { return try await ports.hypervisor.removeInside(request.name) }
        if plan.method.isAtRest, plan.shutsDown == nil || record.owesStart || record.startFailure != nil {
            return try await ports.hypervisor.restore(record.definition, from: plan.disks.map(\.overlay))
        }
        isMerging = true
        try await ports.hypervisor.merge(merges, options: MergeOptions()) { [tell] in tell(.merging($0)) }
    }

    /// The disks that are back on their base; nil where that is not certain.
    private func merged() async -> Set<DiskTarget>? {
        guard let disks = try? await ports.hypervisor.disks(), disks.allSatisfy({ $0.disagreement == nil }) else {
            return nil
        }
        let active = Dictionary(
            disks.map { ($0.target, $0.activeImage?.path) }, uniquingKeysWith: { first, _ in first })
        return Set(plan.disks.filter { active[$0.target] == $0.base.path }.map(\.target))
    }

    /// The overlays of disks that are back on their base, while others are not.
    private func removeMergedBack(_ targets: Set<DiskTarget>) async -> JournalEnding? {
        let overlays = plan.staged.filter { targets.contains($0.target) }.map(\.overlay)
        guard !overlays.isEmpty else { return .failed }
        do throws(Failure) {
            try await remove(overlays)
            return .failed
        } catch {
            tell(.note("not all that was merged back is removed: \(error.message)"))
            return nil
        }
    }

    private func remove(_ overlays: [String]) async throws(Failure) {
        try await ports.journal.record(.removing(files: overlays), of: run, at: ports.time.wall)
        try await ports.images.remove(overlays, of: run)
    }

    private func whatStays(_ undone: Set<DiskTarget>) -> String {
        if undone.isEmpty { return "it could not be undone and stays" }
        func names(_ targets: some Sequence<DiskTarget>) -> String {
            targets.sorted().map(\.description).joined(separator: " ")
        }
        let left = Set(plan.disks.map(\.target)).subtracting(undone)
        return "only a part was undone: \(names(undone)) merged back, \(names(left)) on the overlay still"
    }

    private func keepAnyway(_ record: inout RunRecord) async {
        try? await ports.catalogue.add(
            record.report(finishedAt: ports.time.wall, by: ports.starter), definition: record.definition,
            artifacts: record.artifacts)
    }

    /// An overlay goes only after QEMU has been asked and uses none of them.
    private func discardUnused(_ record: inout RunRecord) async -> JournalEnding? {
        let overlays = plan.staged.map(\.overlay)
        do throws(Failure) {
            let disks = try await ports.hypervisor.disks()
            let used = Set(
                disks.flatMap { ($0.qemuChain ?? $0.liveChain).map(\.path) } + disks.compactMap(\.savedImage))
            guard used.isDisjoint(with: overlays) else {
                record.verdict.reasons.append("the staged overlays stay, since QEMU uses them")
                return .failed
            }
            await discardStaged(&record)
            await dropMemory(&record)
            return .undone
        } catch {
            record.verdict.reasons.append("the staged overlays stay, since QEMU could not be asked: \(error.message)")
            return nil
        }
    }

    /// What was staged and never used. Where a file stays, so does the run, for `recover`.
    func discardStaged(_ record: inout RunRecord) async {
        guard let file = await ports.images.discard(plan.staged.map(\.overlay)).first else { return }
        record.leavesWork = true
        tell(.note("\(file), never used, could not be removed: stillpoint recover \(plan.guest.name) does it"))
    }

    func finish(_ record: inout RunRecord, _ ending: JournalEnding?) async -> RunReport {
        // Said with why the run failed: nothing else would tell that something of it is still there.
        let stuck = record.hooks.stuck.compactMap { entry in
            entry.releaseFailure.map { "; the release of \(entry.application.label) was not confirmed: \($0)" }
        }
        record.failure?.message += stuck.joined()
        // Where the disks stand is not certain in quarantine, and started from the wrong ones it would write to them.
        if record.status != .quarantined { await startAgain(&record) }
        do throws(Failure) {
            if record.isOpen, !record.leavesWork, let ending {
                try await ports.journal.close(run, ending, at: ports.time.wall)
            }
        } catch {
            tell(.note("journal: \(error.message)"))
        }
        return record.report(finishedAt: ports.time.wall, by: ports.starter)
    }
}
