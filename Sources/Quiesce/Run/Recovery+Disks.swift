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
            if run.owesStart, try await isOff(run, facts.power, &account) {
                try await act(.start, "it was shut down for its snapshot", &account) { () throws(Failure) in
                    try await ports.hypervisor.start()
                }
            }
            await close(run, ending, &account)
        } catch {
            account.fail(error)
        }
    }

    /// A guest that was asked to shut down may still be at it, and would stay off: it is waited for.
    private func isOff(
        _ run: UnfinishedRun, _ power: GuestFacts.Power, _ account: inout RecoverReport.Run
    ) async throws(Failure) -> Bool {
        guard power != .shutOff, run.wasAskedToShutDown, !isDryRun else { return power == .shutOff }
        tell(.doing("waiting whether it goes off, as it was asked to"))
        let end = ports.time.now + Self.longestShutdown
        while ports.time.now < end {
            try interruption.check()
            await ports.time.sleep(until: ports.time.now + .seconds(1))
            if try await ports.hypervisor.look(for: []).power == .shutOff { return true }
        }
        account.note(.because, "it was asked to shut down and still runs: should it go off yet, start it")
        return false
    }

    /// As long as a run that is alive waits for a guest that is late.
    private static let longestShutdown = Duration.seconds(120)

    /// A guest that does not run has its chains in its headers.
    func look(for run: UnfinishedRun) async throws(Failure) -> GuestFacts {
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
    func adopt(
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

    /// libvirt's metadata of a snapshot that is gone.
    func forget(
        _ name: String, of run: UnfinishedRun?, _ facts: GuestFacts, _ account: inout RecoverReport.Run
    ) async throws(Failure) {
        guard run?.mayHaveRegistered != false, facts.snapshots.contains(name), let known = SnapshotName(name) else {
            return
        }
        try await act(.unregister, name, &account) { () throws(Failure) in
            try await ports.hypervisor.unregister(known)
        }
    }
}

extension GuestFacts {
    /// Every image that QEMU or either definition names for this guest.
    var usedImages: Set<String> {
        Set(disks.flatMap { ($0.qemuChain ?? []) + $0.liveChain }.map(\.path) + disks.compactMap(\.savedImage))
    }
}
