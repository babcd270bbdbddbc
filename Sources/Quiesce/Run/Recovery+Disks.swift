// SPDX-License-Identifier: Apache-2.0

/// What a run left on the disks, and in libvirt and the catalogue.
extension Recovery {
    /// Ends one run whose guest is safe. What cannot be done leaves it open.
    func settle(_ run: UnfinishedRun, _ account: inout RecoverReport.Run) async {
        do throws(Failure) {
            let facts = try await look(for: run)
            guard run.touchesDisks else { return await close(run, .undone, &account) }
            var ending = JournalEnding.undone
            if let quarrel = facts.disks.compactMap(\.disagreement).first {
                throw Failure(.quarantined, quarrel, hint: facts.graphFindings.refusal?.failure?.hint)
            }
            if run.isOfRevert {
                ending = try await settleRevert(run, facts, &account)
            } else if !run.merges.isEmpty || !run.going.isEmpty {
                ending = try await finishMerge(run, facts, &account)
            } else if !run.overlays.isEmpty {
                ending = try await settleOverlays(run, facts, &account)
            }
            if run.owesStart, facts.power == .shutOff {
                try await act(.start, "it was shut down for its snapshot", &account) { () throws(Failure) in
                    try await ports.hypervisor.start()
                }
            }
            await close(run, ending, &account)
        } catch {
            account.fail(error)
        }
    }

    /// A guest that does not run has its chains in its headers.
    private func look(for run: UnfinishedRun) async throws(Failure) -> GuestFacts {
        var facts = try await ports.hypervisor.look(for: run.overlays + run.merges.map(\.top) + run.going)
        guard facts.power == .shutOff else { return facts }
        for index in facts.disks.indices {
            let disk = facts.disks[index]
            guard disk.headerChain == nil, disk.device == .disk, let image = disk.activeImage,
                ["qcow2", "raw"].contains(image.format)
            else { continue }
            facts.disks[index].liveChain = try await ports.images.chain(of: image)
        }
        return facts
    }

    // MARK: a snapshot that was not finished

    private func settleOverlays(
        _ run: UnfinishedRun, _ facts: GuestFacts, _ account: inout RecoverReport.Run
    ) async throws(Failure) -> JournalEnding {
        let used = facts.usedImages
        let disks = run.intent?.disks ?? []
        let (ours, idle) = (disks.filter { used.contains($0.overlay) }, disks.filter { !used.contains($0.overlay) })
        for disk in idle {
            if let others = facts.sharedImages[disk.overlay] {
                throw Failure(
                    .refused,
                    "\(disk.overlay) stays: \(others.sorted().joined(separator: " ")) names it as an image of its own")
            }
            if ours.isEmpty { try await withdraw(disk, run, &account) }
        }
        guard !ours.isEmpty else {
            try await forget(run.name, of: run, facts, &account)
            return .undone
        }
        if try await !ports.catalogue.entries(of: guest).contains(where: { $0.run == run.run }) {
            try await adopt(run, ours, facts, &account)
        }
        return .done
    }

    private func withdraw(
        _ disk: MemberPlan.Disk, _ run: UnfinishedRun, _ account: inout RecoverReport.Run
    ) async throws(Failure) {
        guard !isDryRun else {
            account.did.append(.init(step: .discard, detail: disk.overlay, isPlanned: true))
            return
        }
        if try await ports.images.withdraw(disk, of: run.run) {
            account.note(.discard, "\(disk.overlay), staged and never used")
        }
    }

    /// The guest writes to its overlays: it is a snapshot, and the verdict is what the journal proves.
    private func adopt(
        _ run: UnfinishedRun, _ disks: [MemberPlan.Disk], _ facts: GuestFacts, _ account: inout RecoverReport.Run
    ) async throws(Failure) {
        guard let intent = run.intent else { return }
        let bases = Dictionary(disks.map { ($0.target, $0.base) }, uniquingKeysWith: { first, _ in first })
        let definition = try await ports.hypervisor.definition(naming: bases)
        var report = AdoptedRun(run: run, intent: intent, disks: disks, guest: guest, account: account)
            .report(at: ports.time.wall)
        if !isDryRun { await verify(&report, expectFrozen: Set(intent.frozen)) }
        let (found, time) = (report, report.cut?.at ?? run.startedAt)
        try await act(.adopt, "\(run.name), \(found.verdict.consistency.rawValue)", &account) { () throws(Failure) in
            try await ports.catalogue.add(found, definition: definition, artifacts: [])
        }
        for reason in found.verdict.reasons { account.note(.because, reason) }
        guard intent.registers, let name = SnapshotName(run.name) else { return }
        if facts.snapshots.contains(run.name) {
            if !run.mayHaveRegistered {
                account.note(.register, "virsh does not list it: libvirt has another snapshot of that name")
            }
            return
        }
        let registration = Registration(
            name: name, note: intent.note, createdAt: time, definition: definition,
            parent: intent.parent.flatMap { facts.snapshots.contains($0) ? $0 : nil }, disks: disks,
            others: facts.disks.map(\.target).filter { target in !disks.contains { $0.target == target } },
            isAtRest: intent.isAtRest)
        try await act(.register, run.name, &account) { () throws(Failure) in
            try await ports.hypervisor.register(registration)
        }
    }

    /// Lowers the verdict where the images themselves disprove it.
    private func verify(_ report: inout RunReport, expectFrozen: Set<DiskTarget>) async {
        guard let disks = report.members.first?.snapshot?.disks else { return }
        let verification = Verification(
            hypervisor: ports.hypervisor, images: ports.images, verifier: ports.verifier)
        let chain = await verification.chain(of: disks)
        let frozen = report.verdict.consistency >= .filesystem ? expectFrozen.map(\.description) : []
        let filesystem = Verification.sum(await verification.proofs(disks), expectFrozen: Set(frozen))
        if chain.result == .failed { report.verdict.lower(to: .none, because: chain.detail) }
        if filesystem.result == .failed { report.verdict.lower(to: .crash, because: filesystem.detail) }
        report.members[0].verification = .init(
            chain: chain, filesystem: filesystem, application: Check(.notChecked, "not asked for"))
    }

    /// The saved definition names either the images from before or the new overlays, and with both the guest starts.
    private func settleRevert(
        _ run: UnfinishedRun, _ facts: GuestFacts, _ account: inout RecoverReport.Run
    ) async throws(Failure) -> JournalEnding {
        if let reverted = run.reverted, let image = reverted.images.first(where: facts.usedImages.contains) {
            account.note(
                .because,
                "the revert to \(reverted.to) had taken effect: \(guest.name) is on \(image); what virsh lists may be of before it"
            )
            return .done
        }
        let overlays = run.overlays.filter { !facts.usedImages.contains($0) && facts.sharedImages[$0] == nil }
        guard !overlays.isEmpty else { return .undone }
        try await act(.discard, overlays.joined(separator: " "), &account) { () async throws(Failure) in
            guard let file = await ports.images.discard(overlays).first else { return }
            throw Failure(
                .refused, "\(file) was staged for a revert that did not come to its end, and could not be removed",
                hint: "stillpoint disks \(guest.name) shows what the guest is on; move the file away if nobody needs it"
            )
        }
        return .undone
    }

    // MARK: a merge that was not finished

    /// Resumed where the guest runs. Switched off in the middle of it, it keeps its overlays, which are whole.
    private func finishMerge(
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

    /// libvirt's metadata of a snapshot that is gone.
    private func forget(
        _ name: String, of run: UnfinishedRun?, _ facts: GuestFacts, _ account: inout RecoverReport.Run
    ) async throws(Failure) {
        guard run?.mayHaveRegistered != false, facts.snapshots.contains(name), let known = SnapshotName(name) else {
            return
        }
        try await act(.unregister, name, &account) { () throws(Failure) in
            try await ports.hypervisor.unregister(known)
        }
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
    /// Every image that QEMU or either definition names for this guest.
    var usedImages: Set<String> {
        Set(disks.flatMap { ($0.qemuChain ?? []) + $0.liveChain }.map(\.path) + disks.compactMap(\.savedImage))
    }
}
