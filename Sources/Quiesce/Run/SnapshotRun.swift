// SPDX-License-Identifier: Apache-2.0

/// One run, read from top to bottom. It always returns a report, and returns it with the guest thawed or says that it
/// could not prove that.
public struct SnapshotRun: Sendable {
    let run: RunID
    let plan: MemberPlan
    let request: SnapshotRequest
    let ports: RunPorts
    let interruption: Interruption
    let tell: @Sendable (RunEvent) -> Void

    public init(
        _ run: RunID, of plan: MemberPlan, for request: SnapshotRequest, through ports: RunPorts,
        interruption: Interruption, telling listener: @escaping @Sendable (RunEvent) -> Void
    ) {
        self.run = run
        self.plan = plan
        self.request = request
        self.ports = ports
        self.interruption = interruption
        tell = listener
    }

    /// Goes on to its end when the caller's task is cancelled; ``Interruption`` is the way to stop it.
    public func execute(since begin: ContinuousClock.Instant, startedAt: Timestamp) async -> RunReport {
        await Task { await goThrough(since: begin, startedAt: startedAt) }.value
    }

    private func goThrough(since begin: ContinuousClock.Instant, startedAt: Timestamp) async -> RunReport {
        var record = RunRecord(
            run: run, plan: plan, request: request, startedAt: startedAt, begin: begin,
            hooks: HookStack(plan, guest: ports.guest, time: ports.time, interruption: interruption))
        record.add(.preflight, .ok, from: begin, to: ports.time.now)
        do throws(Failure) {
            try await open(&record)
            if !request.isDrill { try await stage(&record) }
            try await shutDown(&record)
            try await prepare(&record)
            try await announce(&record)
            try await lockApplications(&record)
            try await steady(&record)
        } catch {
            return await giveUp(&record, error)
        }
        await passWindow(&record)
        await releaseApplications(&record)
        await standDown(&record)
        do throws(Failure) {
            try await settle(&record)
            await keepVariables(&record)
            // Images that are read themselves, not by what stands on them, are free only as long as the guest is off.
            if plan.method != .inside { await startAgain(&record) }
            if !request.isDrill {
                await register(&record)
                await verify(&record)
            }
            try judge(&record)
            if !request.isDrill { try await keep(&record) }
        } catch {
            return await takeBack(&record, error)
        }
        return await finish(&record, .done)
    }
}

/// The doors a run goes through.
public struct RunPorts: Sendable {
    let hypervisor: any Hypervisor
    let guest: any GuestControl
    let guardian: any Guardian
    let images: any ImageStore
    let verifier: any ImageVerifier
    let journal: any Journal
    let catalogue: any Catalogue
    let time: any Time
    let starter: RunReport.Starter

    public init(
        hypervisor: any Hypervisor, guest: any GuestControl, guardian: any Guardian, images: any ImageStore,
        verifier: any ImageVerifier,
        journal: any Journal, catalogue: any Catalogue, time: any Time, starter: RunReport.Starter
    ) {
        self.hypervisor = hypervisor
        self.guest = guest
        self.guardian = guardian
        self.images = images
        self.verifier = verifier
        self.journal = journal
        self.catalogue = catalogue
        self.time = time
        self.starter = starter
    }
}

/// What a listener hears while a run goes on; never from inside the window.
public enum RunEvent: Sendable, Hashable {
    case began(Phase)
    case note(String)
    /// What goes on now, in words.
    case doing(String)
    case merging(MergeProgress)
    case saving(MemoryProgress)
}
