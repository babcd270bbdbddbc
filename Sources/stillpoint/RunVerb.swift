// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

/// What `snapshot` and `drill` share: one run, followed to its end and told.
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
        var wanted = try options.request()
        wanted.isDrill = isDrill
        if isDrill, wanted.shutsDown != nil || wanted.isInternal || wanted.memoryFile != nil {
            throw Failure(.usage, "a drill makes no cut: --shutdown, --internal and --memory mean nothing to it")
        }
        let workplace = try workplace(general)
        try workplace.uri.demandLocal(for: Self.word)
        let interruption = Interruption()
        let signals = Signals(interruption)
        defer { withExtendedLifetime(signals) {} }
        let (begin, startedAt) = (workplace.time.now, workplace.time.wall)
        let open = try await workplace.guest(guest.reference)
        var request = try options.complete(wanted, for: open.identity, in: workplace)
        let progress = Progress(open.identity.name, quiet: general.quiet)
        if dryRun {
            let plan = try await open.plan(&request)
            for remark in options.remarks(plan, request) { progress.note(remark) }
            try output.result(PlanReport(plan, schema: "stillpoint.plan/v1")) { plan.text($0) }
            return plan.foreseen
        }
        let run = RunID.random()
        let report = try await open.held(
            for: Self.word, by: run, waiting: wait?.duration ?? .zero, interruption: interruption,
            telling: { progress.hear($0) }
        ) { lock throws(Failure) in
            let plan = try await open.plan(&request)
            for remark in options.remarks(plan, request) { progress.note(remark) }
            if let failure = plan.findings.refusal?.failure { throw failure }
            let stream = output == .jsonStream ? EventStream(run, since: begin) : nil
            return await SnapshotRun(
                run, of: plan, for: request, through: try open.ports(for: run, holding: lock),
                interruption: interruption
            ) { event in
                progress.hear(event)
                stream?.hear(event, at: workplace.time.now)
            }.execute(since: begin, startedAt: startedAt)
        }
        progress.clear()
        if output == .env {
            Terminal.write(report.environment)
        } else {
            try output.result(report) { report.text($0) }
        }
        return conclude(report)
    }

    /// The last line on stderr of anything but full success is its cause.
    private func conclude(_ report: RunReport) -> ExitStatus {
        let status = ExitStatus(rawValue: report.exit) ?? .internalError
        if status != .reached, let reason = report.error?.message ?? report.verdict.reasons.last {
            Terminal.suggest(report.error?.hint)
            Terminal.complain("stillpoint: \(reason)\n")
        }
        return status
    }
}
