// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

/// What `snapshot`, `drill`, `run` and `begin` share: one run, followed to its end and told.
protocol RunVerb: Verb {
    static var word: String { get }
    var guest: DomainArgument { get }
    var options: SnapshotOptions { get }
    var wait: Span? { get }
    var dryRun: Bool { get }
}

extension RunVerb {
    func conduct(
        _ general: GeneralOptions, isDrill: Bool, _ output: Output
    ) async throws(Failure) -> ExitStatus {
        let interruption = Interruption()
        let signals = Signals(interruption)
        defer { withExtendedLifetime(signals) {} }
        var call = try await call(general, isDrill: isDrill, interruption)
        if dryRun { return try await call.showPlan(output) }
        await call.endOverdue()
        let report = try await call.held { call, lock throws(Failure) in
            try await call.take(holding: lock, streaming: output == .jsonStream)
        }
        call.progress.clear()
        try output.result(report, environment: report.environment) { report.text($0) }
        return report.conclude()
    }

    /// Everything that is known before the guest's lock is taken.
    func call(
        _ general: GeneralOptions, isDrill: Bool = false, _ interruption: Interruption
    ) async throws(Failure) -> SnapshotCall {
        var wanted = try options.request()
        wanted.isDrill = isDrill
        if isDrill, wanted.shutsDown != nil || wanted.isInternal || wanted.memoryFile != nil {
            throw Failure(.usage, "a drill makes no cut: --shutdown, --internal and --memory mean nothing to it")
        }
        let workplace = try workplace(general)
        try workplace.uri.demandLocal(for: Self.word)
        let (begin, startedAt) = (workplace.time.now, workplace.time.wall)
        let open = try await workplace.guest(guest.reference)
        return SnapshotCall(
            word: Self.word, workplace: workplace, open: open, options: options,
            progress: Progress(open.identity.name, general), interruption: interruption,
            wait: wait?.duration ?? .zero, begin: begin, startedAt: startedAt,
            request: try options.complete(wanted, for: open.identity, in: workplace))
    }
}

/// A snapshot that was asked for on the command line.
struct SnapshotCall {
    let word: String
    let workplace: Workplace
    let open: OpenGuest
    let options: SnapshotOptions
    let progress: Progress
    let interruption: Interruption
    let wait: Duration
    let begin: ContinuousClock.Instant
    let startedAt: Timestamp
    let run = RunID.random()
    var request: SnapshotRequest

    /// `--dry-run`.
    mutating func showPlan(_ output: Output) async throws(Failure) -> ExitStatus {
        let plan = told(try await open.planBesideOthers(&request))
        try output.result(PlanReport(plan, schema: "stillpoint.plan/v1")) { plan.text($0) }
        return plan.conclude()
    }

    private mutating func plan() async throws(Failure) -> MemberPlan {
        told(try await open.plan(&request))
    }

    private func told(_ plan: MemberPlan) -> MemberPlan {
        for remark in options.remarks(plan, request) { progress.note(remark) }
        return plan
    }

    /// What earlier runs on this guest have left to end.
    func endOverdue() async {
        await open.endOverdue(interruption: interruption) { [progress] in progress.hear($0) }
    }

    func held<Value>(
        _ body: (inout SnapshotCall, GuestLock) async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        try await open.held(
            for: word, by: run, waiting: wait, interruption: interruption, telling: { [progress] in progress.hear($0) }
        ) { lock throws(Failure) in
            var call = self
            return try await body(&call, lock)
        }
    }

    /// The run, to its end.
    mutating func take(holding lock: GuestLock, streaming: Bool = false) async throws(Failure) -> RunReport {
        let plan = try await plan()
        if let failure = plan.findings.refusal?.failure { throw failure }
        let stream = streaming ? EventStream(run, since: begin) : nil
        return await SnapshotRun(
            run, of: plan, for: request, through: try open.ports(for: run, holding: lock), interruption: interruption
        ) { [progress, workplace] event in
            progress.hear(event)
            stream?.hear(event, at: workplace.time.now)
        }.execute(since: begin, startedAt: startedAt)
    }
}

extension MemberPlan {
    /// The last line on stderr is why the level would be missed; what mends it is in the plan.
    func conclude() -> ExitStatus {
        if let cause { Terminal.complain("stillpoint: \(cause)\n") }
        return foreseen
    }
}

extension RunReport {
    /// The last line on stderr of anything but full success is its cause.
    func conclude() -> ExitStatus {
        let status = ExitStatus(rawValue: exit) ?? .internalError
        if status != .reached, let reason = error?.message ?? verdict.reasons.first {
            Terminal.suggest(error?.hint)
            Terminal.complain("stillpoint: \(reason)\n")
        }
        return status
    }
}
