// SPDX-License-Identifier: Apache-2.0

/// Everything slow, while the guest works on undisturbed.
extension SnapshotRun {
    func open(_ record: inout RunRecord) async throws(Failure) {
        if let failure = plan.findings.refusal?.failure { throw failure }
        try interruption.check()
        try await ports.journal.open(run, for: plan.guest, named: request.name.description, at: ports.time.wall)
        record.isOpen = true
    }

    func stage(_ record: inout RunRecord) async throws(Failure) {
        tell(.began(.stage))
        let start = ports.time.now
        do throws(Failure) {
            let overlays = plan.staged.map(\.overlay)
            let intent = RunIntent(of: plan, for: request, by: ports.starter)
            try await ports.journal.record(.staging(overlays: overlays, intent: intent), of: run, at: ports.time.wall)
            record.definition = try await ports.hypervisor.definition()
            try await ports.images.stage(plan.staged)
            try await reserveMemory(&record)
        } catch {
            record.add(.stage, .failed, from: start, to: ports.time.now, error.message)
            throw error
        }
        record.add(.stage, .ok, from: start, to: ports.time.now, plan.staged.count.of("overlay"))
        try interruption.check()
    }

    /// Everything slow inside the guest, and whatever could thaw it in our place, while nothing waits.
    func prepare(_ record: inout RunRecord) async throws(Failure) {
        guard plan.freezes else { return }
        record.hasPrepared = true
        tell(.began(.prepare))
        let start = ports.time.now
        var notes = plan.applications.map(\.label)
        do throws(Failure) {
            try await ports.guest.prepareRescue()
            try await ports.guardian.stand()
            record.guardian = .armed
            try await prepareApplications(&record)
            record.offset = try? await ports.guest.clockOffset()
            try interruption.check()
            try await armDeadMan(&record)
            try interruption.check()
        } catch {
            record.add(.prepare, .failed, from: start, to: ports.time.now, error.message)
            throw error
        }
        if plan.facts.agent.report?.canExecute == true {
            do throws(GuestFailure) {
                try await ports.guest.sync(plan.synced.map(\.mountpoint), within: .seconds(60))
                notes.append("sync")
            } catch {
                notes.append("not synced: \(error.cause)")
            }
        }
        record.add(.prepare, .ok, from: start, to: ports.time.now, notes.joined(separator: ", "))
        try interruption.check()
    }

    /// Without guest-exec there is none, and the plan has said so. Where there could be one, nothing is frozen without it.
    private func armDeadMan(_ record: inout RunRecord) async throws(Failure) {
        guard plan.facts.agent.report?.canExecute == true, !plan.facts.isWindows else { return }
        // It idles through all that can come before its deadline is set: the sync and every hook.
        let hooks = plan.applications.reduce(Duration.zero) { $0 + $1.choice.timeout * 2 }
        let longStop = .seconds(120) + hooks + plan.maxHold + plan.maxFreeze + MemberPlan.deadManGrace
        record.mayHaveDeadMan = true
        do throws(GuestFailure) {
            record.deadMan = try await ports.guest.arm(
                plan.frozen.map(\.mountpoint), longStop: longStop, expedites: plan.expedites)
        } catch {
            throw Failure(
                .refused,
                "the dead-man inside \(plan.guest.name) could not be started: \(error.cause); nothing was frozen",
                hint: "stillpoint doctor \(plan.guest.name)")
        }
    }

    static let guardianGrace = Duration.seconds(1)

    /// From here on both would thaw in our place.
    func steady(_ record: inout RunRecord) async throws(Failure) {
        guard plan.freezes else { return }
        if record.deadMan != .absent, !record.hooks.areLastWordsSaid {
            var words = plan.lastWords
            if !record.hooks.isEmpty { words.mountpoints = [] }
            do throws(GuestFailure) {
                try await ports.guest.steady(words)
            } catch {
                throw Failure(
                    .refused,
                    "the dead-man inside \(plan.guest.name) did not take its deadline: \(error.cause); nothing was frozen"
                )
            }
        }
        try interruption.check()
        try ports.guardian.arm(plan.maxFreeze + Self.guardianGrace)
    }

    /// The last words before the window, on disk before anything in it is sent.
    func announce(_ record: inout RunRecord) async throws(Failure) {
        let step = JournalStep.window(
            mountpoints: plan.frozen.map(\.mountpoint), overlays: request.isDrill ? [] : plan.staged.map(\.overlay))
        record.isAnnounced = true
        try await ports.journal.record(step, of: run, at: ports.time.wall)
        try interruption.check()
        if record.hooks.isEmpty { tell(.began(plan.freezes ? .freeze : .cut)) }
    }

    /// Nothing has been frozen: what was staged is removed and the reason reported.
    func giveUp(_ record: inout RunRecord, _ failure: Failure) async -> RunReport {
        (record.status, record.failure) = (failure.status, failure)
        record.verdict = Verdict(consistency: .none, reasons: [failure.message])
        // Whoever finds the entry open is not to thaw somebody else's freeze.
        if record.isAnnounced { await note(record, cut: false, thawed: true) }
        await releaseApplications(&record)
        await standDown(&record)
        if record.phases.contains(where: { $0.name == .stage && $0.status == .ok }) {
            await discardStaged(&record)
        }
        await dropMemory(&record)
        return await finish(&record, .undone)
    }
}

extension MemberPlan {
    /// How long after the longest window the guest thaws by itself; the guardian comes in between.
    static let deadManGrace = Duration.seconds(3)

    var lastWords: LastWords {
        LastWords(synced.map(\.mountpoint), deadline: maxFreeze + Self.deadManGrace, expedites: expedites)
    }
}
