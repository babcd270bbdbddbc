// SPDX-License-Identifier: Apache-2.0

/// The window itself and everything after the thaw.
extension SnapshotRun {
    func passWindow(_ record: inout RunRecord) async {
        let window = await Window(
            plan: plan, name: request.name, cuts: !request.isDrill, hypervisor: ports.hypervisor, guest: ports.guest,
            time: ports.time, interruption: interruption, tell: tell
        ).pass()
        record.window = window
        // Unproved, it is left to go on.
        if case .unproved = window.thaw {} else { ports.guardian.dismiss() }
        let frozen = window.frozenAt ?? (plan.freezes ? window.closed : window.opened)
        if plan.freezes {
            record.add(
                .freeze, window.freezeFailure == nil ? .ok : .failed, from: window.opened, to: frozen,
                window.freezeFailure?.cause ?? plan.frozen.count.of("filesystem"))
        }
        switch window.cut {
        case .notSent: record.add(.cut, .skipped, from: frozen, to: frozen)
        case .done:
            record.add(.cut, .ok, from: frozen, to: window.cutDone ?? window.closed, plan.disks.count.of("disk"))
        case .failed(let failure):
            record.add(.cut, .failed, from: frozen, to: window.cutDone ?? window.closed, failure.message)
        }
        if let sent = window.thawSent {
            record.add(.thaw, window.thawed == nil ? .failed : .ok, from: sent, to: window.closed)
        }
    }

    /// Finds out where the guest stands now. A failed call proves nothing: QEMU is asked which files it uses.
    func settle(_ record: inout RunRecord) async throws(Failure) {
        guard let window = record.window else { return }
        var unsaved: Failure?
        let wasCut = if case .done = window.cut { true } else { false }
        if case .unproved(let failure) = window.thaw {
            record.isCut = wasCut
            await note(record, cut: wasCut, thawed: false)
            throw Failure(
                .maybeFrozen, "\(plan.guest.name) may still be frozen: no thaw was confirmed (\(failure.cause))",
                hint: "stillpoint thaw \(plan.guest.name)")
        }
        switch window.cut {
        case .notSent:
            await note(record, cut: false, thawed: true)
            if let failure = window.freezeFailure, failure.kind == .alreadyFrozen {
                throw Failure(
                    .refused, "\(plan.guest.name) was frozen by somebody else meanwhile; that freeze was left alone")
            }
            if let failure = window.freezeFailure {
                throw Failure(.freezeFailed, "\(plan.guest.name) could not be frozen: \(failure.cause); it is thawed")
            }
            if request.isDrill, interruption.status == nil { return }
            throw Failure(
                interruption.status ?? .freezeFailed, "stopped inside the window; \(plan.guest.name) is thawed")
        case .done:
            record.isCut = true
        case .failed(let failure):
            do throws(Failure) { record.isCut = try await hasMoved(record, after: failure) } catch {
                // Nobody knows of the disks; of the guest it is known.
                try? await ports.journal.record(.thawed, of: run, at: ports.time.wall)
                throw error
            }
            if !record.isCut {
                await note(record, cut: false, thawed: true)
                let telling: Set<ExitStatus> = [.quarantined, .interrupted, .terminated, .hungUp]
                throw Failure(
                    telling.contains(failure.status) ? failure.status : .snapshotFailed,
                    "\(failure.message); \(plan.guest.name) is thawed", hint: failure.hint)
            }
            record.verdict.reasons.append("libvirt reported an error, but the disks had switched: \(failure.message)")
            unsaved = await saveAgain()
        }
        await note(record, cut: true, thawed: true)
        if let unsaved { throw unsaved }
    }

    /// The error may have been libvirt's own save: its next daemon would then know nothing of the overlays (measured on 9.0).
    private func saveAgain() async -> Failure? {
        do throws(Failure) {
            try await ports.hypervisor.saveAgain()
            return nil
        } catch {
            return Failure(
                .quarantined,
                "the disks of \(plan.guest.name) have switched, and libvirt cannot save that: \(error.message)",
                hint:
                    "leave \(plan.guest.name) and the daemon running, make libvirt's folders writable, then   stillpoint recover \(plan.guest.name) --repair"
            )
        }
    }

    private func hasMoved(_ record: RunRecord, after failure: Failure) async throws(Failure) -> Bool {
        let disks: [DiskFacts]
        do throws(Failure) {
            disks = try await ports.hypervisor.disks()
        } catch {
            throw Failure(
                .quarantined, "\(failure.message); whether the disks switched is not known: \(error.message)",
                hint: "see   stillpoint doctor \(plan.guest.name)   before anything else")
        }
        if let quarrel = disks.compactMap(\.disagreement).first {
            throw Failure(
                .quarantined, "\(failure.message); now \(quarrel)",
                hint: "leave \(plan.guest.name) running and see   stillpoint doctor \(plan.guest.name)")
        }
        if plan.method == .inside {
            do throws(Failure) {
                for disk in record.disks { try await ports.images.check(disk, holds: request.name.description) }
                return true
            } catch {
                return false
            }
        }
        let active = Dictionary(
            disks.map { ($0.target, $0.activeImage?.path) }, uniquingKeysWith: { first, _ in first })
        let moved = plan.disks.filter { active[$0.target] == $0.overlay }
        if moved.isEmpty { return false }
        guard moved.count == plan.disks.count else {
            throw Failure(
                .quarantined, "only \(moved.map(\.target.description).joined(separator: " ")) switched to the overlays")
        }
        return true
    }

    func note(_ record: RunRecord, cut: Bool, thawed: Bool) async {
        let proof = cut ? record.proof : nil
        do throws(Failure) {
            try await ports.journal.record(
                .windowClosed(cut: cut, thawed: thawed, proof: proof), of: run, at: ports.time.wall)
        } catch {
            // The window is over and the guest thawed: an unwritten note must not undo that.
            tell(.note("journal: \(error.message)"))
        }
    }

    /// Nothing is frozen any more: what would have thawed in our place is called off. Kept where that is not certain.
    func standDown(_ record: inout RunRecord) async {
        guard record.hasPrepared else { return }
        if case .unproved = record.window?.thaw { return }
        ports.guardian.dismiss()
        let isArmed = record.mayHaveDeadMan
        do throws(GuestFailure) {
            if isArmed { record.deadManActed = try await ports.guest.disarm(run) }
            if isArmed || !record.hooks.isEmpty {
                try await ports.guest.tidy(run, record.hooks.stuck.isEmpty ? .now : .later)
            }
        } catch {
            record.leavesWork = true
            tell(.note("what is left in \(plan.guest.name) ends by itself: \(error.cause)"))
        }
        let word = await ports.guardian.lastWord()
        if let word {
            tell(.note("guardian: \(word)"))
            record.verdict.reasons.append("guardian: \(word)")
        }
        if word == nil, record.deadManActed == nil { await thawRest(&record) }
    }

    /// Fewer thawed than froze, and nobody of ours did it.
    private func thawRest(_ record: inout RunRecord) async {
        guard let frozen = record.window?.frozen, let thawed = record.window?.thawed, thawed < frozen,
            !plan.facts.isWindows
        else { return }
        let reason = await ports.guest.thawRest()
        tell(.note(reason))
        record.verdict.reasons.append(reason)
    }

    func register(_ record: inout RunRecord) async {
        guard request.registers else { return }
        // libvirt has made its metadata with the snapshot.
        if plan.method == .inside || plan.method.memoryFile != nil {
            record.isRegistered = true
            return
        }
        tell(.began(.register))
        let start = ports.time.now
        do throws(Failure) {
            try await ports.journal.record(.registering(name: request.name.description), of: run, at: ports.time.wall)
            try await ports.hypervisor.register(
                Registration(
                    name: request.name, note: request.note, createdAt: record.window?.cutAt ?? ports.time.wall,
                    definition: record.definition, parent: plan.facts.currentSnapshot, disks: plan.disks,
                    others: plan.leftOut.map(\.target), isAtRest: plan.method.isAtRest))
            record.isRegistered = true
            record.add(.register, .ok, from: start, to: ports.time.now)
        } catch {
            record.add(.register, .failed, from: start, to: ports.time.now, error.message)
            record.verdict.reasons.append("virsh does not list this snapshot: \(error.message)")
            tell(.note("virsh does not list this snapshot: \(error.message)"))
        }
    }

    func verify(_ record: inout RunRecord) async {
        tell(.began(.verify))
        let start = ports.time.now
        let verification = Verification(ports: ports)
        record.chain = await verification.chain(plan, named: request.name)
        record.proofs = await verification.proofs(record.disks)
        record.filesystem = Verification.sum(
            record.proofs, expectFrozen: held(record) ? Set(plan.frozen.flatMap { $0.targets.map(\.description) }) : [])
        let failed = record.chain.check.result == .failed || record.filesystem.result == .failed
        record.add(.verify, failed ? .failed : .ok, from: start, to: ports.time.now)
    }

    /// Whether the freeze held by the guest's own word; if not, images that are not frozen are no news.
    private func held(_ record: RunRecord) -> Bool {
        plan.freezes && (verdict(record)?.consistency ?? .none) >= .filesystem
    }

    private func verdict(_ record: RunRecord) -> Verdict? {
        if plan.method.isAtRest {
            return RestJudgement(plan: plan, stop: record.stopReason, proofs: record.proofs).verdict
        }
        return record.window.map {
            Judgement(plan: plan, request: request, window: $0, hooks: record.hooks.entries).verdict
        }
    }

    func judge(_ record: inout RunRecord) throws(Failure) {
        guard let verdict = verdict(record) else { return }
        let earlier = record.verdict.reasons
        record.verdict = verdict
        record.verdict.reasons += earlier
        if let word = record.deadManActed {
            record.verdict.lower(
                to: .crash, because: "the dead-man inside the guest thawed it (\(word)): the window was late")
        }
        if record.filesystem.result == .failed {
            record.verdict.lower(to: .crash, because: record.filesystem.detail)
        }
        let chain = request.isDrill ? Check(.notChecked, "no cut") : record.chain.check
        if chain.result == .failed { record.verdict.lower(to: .none, because: chain.detail) }
        if case .disagrees(let quarrel) = record.chain {
            throw Failure(
                .quarantined, quarrel,
                hint: "leave \(plan.guest.name) running and see   stillpoint doctor \(plan.guest.name)")
        }
        if chain.result == .failed {
            record.verdict.lead(with: chain.detail)
            record.status = .verificationFailed
            return
        }
        if let asked = interruption.status {
            throw Failure(
                asked, request.isDrill ? "interrupted" : "interrupted after the cut; the snapshot is taken back")
        }
        let reached = record.verdict.consistency
        if let required = request.required, reached < required {
            throw Failure(
                .requiredLevelMissed,
                "\(plan.guest.name) reached \(reached.rawValue), and \(required.rawValue) was required: \(record.verdict.reasons.first ?? "")"
            )
        }
        if record.filesystem.result == .failed {
            record.verdict.lead(with: record.filesystem.detail)
            record.status = .verificationFailed
        } else if let reason = record.startFailure ?? record.hooks.stuck.first?.leftBehind(plan.maxHold) {
            record.verdict.lead(with: reason)
            record.status = .releaseFailed
        } else if reached >= plan.asked {
            record.status = .reached
        } else {
            record.status = reached == .filesystem ? .filesystemOnly : .crashOnly
        }
    }

    func keep(_ record: inout RunRecord) async throws(Failure) {
        let report = record.report(finishedAt: ports.time.wall, by: ports.starter)
        do throws(Failure) {
            try await ports.catalogue.add(report, definition: record.definition, artifacts: record.artifacts)
        } catch {
            record.leavesWork = true
            tell(.note("the snapshot is there, its manifest is not: \(error.message)"))
        }
    }
}
