// SPDX-License-Identifier: Apache-2.0

/// What a run has found out so far; becomes the report.
struct RunRecord {
    let run: RunID
    let plan: MemberPlan
    let request: SnapshotRequest
    let startedAt: Timestamp
    let begin: ContinuousClock.Instant
    var hooks: HookStack
    /// Something may be left in the guest, and the guardian stand.
    var hasPrepared = false
    var deadMan = DeadMan.absent
    /// Asked for, whatever was answered: one whose reply was lost stands all the same.
    var mayHaveDeadMan = false
    /// The journal may say that a freeze follows.
    var isAnnounced = false
    /// What the dead-man said that it had done by itself.
    var deadManActed: String?
    var guardian = MemberReport.Presence.absent
    var phases: [PhaseReport] = []
    var offset: ClockOffset?
    var window: Window.Result?
    var definition = ""
    var verdict = Verdict(consistency: .none)
    var chain = ChainState.notChecked("no snapshot")
    var filesystem = Check(.notChecked, "no snapshot")
    var status: ExitStatus = .internalError
    /// What ended the run before its end.
    var failure: Failure?
    /// The disks run on the overlays.
    var isCut = false
    /// Disks of a cut that went back to their base; the frozen image is written to again.
    var undone: Set<DiskTarget> = []
    /// How the guest went off for the cut.
    var stopReason: StopReason?
    /// We shut it down, and it is to run again.
    var owesStart = false
    /// Why it does not run again.
    var startFailure: String?
    /// What the images themselves say.
    var proofs: [FilesystemProof] = []
    /// A file for the guest's memory is there, and not part of a snapshot yet.
    var hasMemoryFile = false
    var memory: MemberReport.Memory?
    var nvram: (report: MemberReport.Variables, bytes: [UInt8])?
    /// The journal has an entry to close.
    var isOpen = false
    /// Something is left that a later command clears away: the entry stays open, so that it knows.
    var leavesWork = false
    /// libvirt's snapshot of that name is ours.
    var isRegistered = false

    /// The last word on why it failed.
    mutating func end(because message: String) {
        failure?.message = message
        verdict.reasons.append(message)
    }

    mutating func add(
        _ phase: Phase, _ status: PhaseReport.Status, from start: ContinuousClock.Instant,
        to end: ContinuousClock.Instant, _ detail: String? = nil
    ) {
        phases.append(
            PhaseReport(
                name: phase, status: status, startMs: begin.duration(to: start).inMilliseconds,
                tookMs: start.duration(to: end).inMilliseconds, detail: detail))
    }

    func report(finishedAt: Timestamp, by starter: RunReport.Starter) -> RunReport {
        RunReport(
            schema: request.isDrill ? RunReport.drillSchema : RunReport.schema, run: run.description,
            startedAt: startedAt, finishedAt: finishedAt, required: plan.asked, verdict: verdict,
            exit: status.rawValue, error: failure.map(Cause.init), cut: cut, versions: plan.facts.versions,
            startedBy: starter, members: [member])
    }

    private var cut: RunReport.Cut? {
        guard isCut, let at = window?.cutAt else { return nil }
        return RunReport.Cut(
            at: at, guestAt: offset.map { at.adding(milliseconds: $0.milliseconds) }, skewMs: offset?.uncertainty)
    }

    private var member: MemberReport {
        let agent = plan.facts.agent.report
        return MemberReport(
            domain: plan.guest,
            agent: agent.map { .init(version: $0.version, transport: $0.canExecute ? .guestExec : .none) },
            deadMan: deadMan, guardian: guardian, snapshot: isCut ? snapshot : nil, freeze: freeze,
            applications: applications, phases: phases,
            verification: .init(
                chain: chain.check, filesystem: filesystem,
                application: Check(.notChecked, "not asked for")))
    }

    private var applications: [MemberReport.Application] {
        zip(hooks.entries, hooks.artifacts).map { $0.report($1) }
            + plan.skippedApplications.map(MemberReport.Application.init)
    }

    /// Under names that are theirs alone in the run.
    var artifacts: [HookReply.Artifact] {
        let variables = nvram.map {
            [HookReply.Artifact(name: $0.report.file, bytes: $0.bytes, sha256: $0.report.sha256)]
        }
        return hooks.artifacts.flatMap(\.self) + (variables ?? [])
    }

    var disks: [MemberReport.Disk] {
        plan.disks.filter { !undone.contains($0.target) }.map(MemberReport.Disk.init)
    }

    private var snapshot: MemberReport.Snapshot {
        MemberReport.Snapshot(
            name: request.name.description, description: request.note, disks: disks,
            excluded: plan.leftOut.map { .init(target: $0.target, reason: $0.reason) },
            kind: plan.method == .inside ? .inside : nil, memory: memory, nvram: nvram?.report,
            notIncluded: plan.facts.hasTPM ? ["tpm"] : nil)
    }

    /// For whoever has to finish the run if this process cannot.
    var proof: WindowProof? {
        guard let window else { return nil }
        // Of a guest that was off only the images could tell more.
        let verdict =
            plan.method.isAtRest
            ? Verdict(consistency: .crash, reasons: ["the run ended before it looked at the images"])
            : Judgement(plan: plan, request: request, window: window, hooks: hooks.entries).verdict
        return WindowProof(cutAt: window.cutAt, verdict: verdict, freeze: freeze)
    }

    private var freeze: MemberReport.Freeze? {
        guard plan.freezes, let window else { return nil }
        return MemberReport.Freeze(
            mountpoints: plan.frozen.map(\.mountpoint), notFreezable: plan.notFreezable.map(\.mountpoint),
            expected: plan.frozen.count, guestReported: .init(frozen: window.frozen, thawed: window.thawed),
            windowMs: window.length.inMilliseconds, hookMs: hooks.waited.inMilliseconds,
            maxFreezeMs: plan.maxFreeze.inMilliseconds)
    }
}

extension MemberReport.Disk {
    init(_ disk: MemberPlan.Disk) {
        self.init(
            target: disk.target, frozenImage: disk.base.path, chain: disk.chain, overlay: disk.overlay,
            format: disk.base.format, virtualSizeBytes: disk.virtualSizeBytes)
    }
}
