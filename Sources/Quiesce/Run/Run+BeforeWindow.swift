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
            let overlays = plan.disks.map(\.overlay)
            try await ports.journal.record(.staging(overlays: overlays), of: run, at: ports.time.wall)
            record.definition = try await ports.hypervisor.definition()
            try await ports.images.stage(plan.disks)
        } catch {
            record.add(.stage, .failed, from: start, to: ports.time.now, error.message)
            throw error
        }
        record.add(.stage, .ok, from: start, to: ports.time.now, "\(plan.disks.count) overlays")
        try interruption.check()
    }

    /// What cannot be done here costs window time or precision, not consistency: it is noted and the run goes on.
    func prepare(_ record: inout RunRecord) async throws(Failure) {
        guard plan.freezes else { return }
        tell(.began(.prepare))
        let start = ports.time.now
        try await ports.guest.prepareRescue()
        var notes = plan.applications.map(\.label)
        do throws(Failure) {
            try await prepareApplications(&record)
        } catch {
            record.add(.prepare, .failed, from: start, to: ports.time.now, error.message)
            throw error
        }
        record.offset = try? await ports.guest.clockOffset()
        try interruption.check()
        let syncLimit = Duration.seconds(60)
        if plan.expedites {
            do throws(GuestFailure) {
                try await ports.guest.expedite(lease: syncLimit + plan.maxFreeze + .seconds(30))
                notes.append("expedited RCU")
            } catch {
                notes.append("RCU not expedited: \(error.cause)")
            }
        }
        try interruption.check()
        // Last: whatever is written after it is flushed inside the window.
        if plan.facts.agent.report?.canExecute == true {
            do throws(GuestFailure) {
                try await ports.guest.sync(plan.synced.map(\.mountpoint), within: syncLimit)
                notes.append("sync")
            } catch {
                notes.append("not synced: \(error.cause)")
            }
        }
        record.add(.prepare, .ok, from: start, to: ports.time.now, notes.joined(separator: ", "))
    }

    /// The last words before the window, on disk before anything in it is sent.
    func announce(_ record: inout RunRecord) async throws(Failure) {
        let step = JournalStep.window(
            mountpoints: plan.frozen.map(\.mountpoint), overlays: request.isDrill ? [] : plan.disks.map(\.overlay))
        try await ports.journal.record(step, of: run, at: ports.time.wall)
        try interruption.check()
        if record.hooks.isEmpty { tell(.began(plan.freezes ? .freeze : .cut)) }
    }

    /// Nothing has been frozen: what was staged is removed and the reason reported.
    func giveUp(_ record: inout RunRecord, _ failure: Failure) async -> RunReport {
        (record.status, record.failure) = (failure.status, failure)
        record.verdict = Verdict(consistency: .none, reasons: [failure.message])
        await releaseApplications(&record)
        if record.phases.contains(where: { $0.name == .stage && $0.status == .ok }) {
            await relax(&record)
            await ports.images.discard(plan.disks.map(\.overlay))
        }
        return await finish(&record, .undone)
    }
}
