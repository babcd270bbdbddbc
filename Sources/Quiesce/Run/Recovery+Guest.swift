// SPDX-License-Identifier: Apache-2.0

/// What a run left inside its guest.
extension Recovery {
    /// Thaws, lets go and disarms. False where the run is to be left alone: its freeze is wanted still, or not proved over.
    func makeSafe(_ run: UnfinishedRun, _ account: inout RecoverReport.Run) async -> Bool {
        if run.isByHand, run.mayHaveFrozen, let lease = run.lease, ports.time.wall < lease {
            account.outcome = .left
            let end = Timestamp(milliseconds: lease.milliseconds, offset: ports.time.wall.offset)
            account.note(.left, "frozen by hand until \(end.local); before that:   stillpoint thaw \(guest.name)")
            return false
        }
        do throws(Failure) {
            let facts = try await ports.hypervisor.look(for: [])
            let thawed = try await thaw(run, facts.power, &account)
            guard case .running = facts.power else { return true }
            let areReleased = await release(run, facts, &account)
            await disarm(run, thenTidies: areReleased ? .now : .later, &account)
            // Some were: the others are where no path leads any more, and frozen still.
            if account.deadManActed == nil, 0 < thawed, thawed < run.frozenMountpoints.count {
                account.note(.thaw, await ports.control(run.run).thawRest())
            }
            return true
        } catch {
            account.fail(error)
            return false
        }
    }

    /// How many the guest says that it thawed.
    private func thaw(
        _ run: UnfinishedRun, _ power: GuestFacts.Power, _ account: inout RecoverReport.Run
    ) async throws(Failure) -> Int {
        let word = ports.guardian(run.run)
        if let word { account.note(.guardian, word) }
        guard run.mayHaveFrozen else { return 0 }
        switch power {
        case .running: break
        case .shutOff:
            account.note(.thaw, "\(guest.name) is shut off: nothing is frozen")
            return 0
        case .paused(let why), .other(let why):
            throw Failure(
                .maybeFrozen, "\(guest.name) may still be frozen, and no thaw can reach it: it is paused (\(why))",
                hint: "virsh resume \(guest.name)\nstillpoint recover \(guest.name)")
        }
        if word?.contains("thaw confirmed") == true { return 0 }
        guard !isDryRun else {
            account.did.append(
                .init(step: .thaw, detail: run.frozenMountpoints.joined(separator: " "), isPlanned: true))
            return 0
        }
        let control = ports.control(run.run)
        // Without a connection of its own the thaw goes the ordinary way.
        try? await control.prepareRescue()
        tell(.began(.thaw))
        let outcome = await Thaw(guest: control, time: ports.time, interruption: interruption).untilProved()
        switch outcome {
        case .thawed(let count):
            account.note(.thaw, "\(count.of("filesystem")) thawed, as reported by the guest")
            try? await ports.journal.record(.thawed, of: run.run, at: ports.time.wall)
            return count
        case .unproved(let failure):
            throw Failure(
                .maybeFrozen, "\(guest.name) may still be frozen: no thaw was confirmed (\(failure.cause))",
                hint: "as root in the guest, on its console:   echo j > /proc/sysrq-trigger")
        }
    }

    /// Once: what is confirmed is written down. What is not ends by its lease. False where something was not confirmed.
    private func release(_ run: UnfinishedRun, _ facts: GuestFacts, _ account: inout RecoverReport.Run) async -> Bool {
        guard !run.hooks.isEmpty else { return true }
        guard !isDryRun else {
            let names = run.hooks.map(\.label).joined(separator: ", ")
            account.did.append(.init(step: .release, detail: names, isPlanned: true))
            return true
        }
        let isOnOverlays = facts.disks.contains { disk in disk.liveChain.contains { run.overlays.contains($0.path) } }
        let outcome: HookCall.Outcome =
            isOnOverlays || run.windowEnd?.cut == true ? .taken : run.mayHaveCut ? .unknown : .failed
        tell(.began(.postThaw))
        let known = (try? ports.hooks()) ?? []
        var released: [String] = []
        for hook in run.hooks.reversed() {
            guard let found = known.first(where: { $0.name == hook.name }) else {
                account.note(.release, "\(hook.label): there is no hook of that name any more; its lock ends by itself")
                continue
            }
            let call = HookCall(
                .postThaw, of: found, parameters: hook.parameters, instance: hook.instance, lease: .seconds(1),
                outcome: outcome, mountpoints: run.frozenMountpoints)
            switch await ports.control(run.run).run(call, within: HookChoice.standardTimeout) {
            case .done:
                released.append(hook.label)
                account.note(.release, hook.label)
            case .busy(let why), .denied(let why), .failed(let why), .unstarted(let why), .unknown(let why):
                account.note(.release, "\(hook.label): not confirmed (\(why)); its lock ends by itself")
            }
        }
        try? await ports.journal.record(.released(hooks: released), of: run.run, at: ports.time.wall)
        return released.count == run.hooks.count
    }

    private func disarm(_ run: UnfinishedRun, thenTidies when: Tidying, _ account: inout RecoverReport.Run) async {
        // A freeze by hand and a drill have theirs before they say so.
        let mayHaveOne = run.isByHand || run.mayHaveCut || !run.overlays.isEmpty || !run.hooks.isEmpty
        guard mayHaveOne || run.steps.isEmpty else { return }
        guard !isDryRun else { return }
        let control = ports.control(run.run)
        do throws(GuestFailure) {
            if let word = try await control.disarm(run.run) {
                account.deadManActed = word
                account.note(.disarm, "the dead-man inside the guest had thawed it (\(word))")
            }
            try await control.tidy(run.run, when)
        } catch {
            // A guest without guest-exec never had one.
            if run.mayHaveFrozen { account.note(.disarm, "what is left in the guest ends by itself: \(error.cause)") }
        }
    }
}
