// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Snapshot: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Freeze, cut all chosen disks at one moment, thaw, verify.")

    @ParentCommand var parent: Stillpoint
    @OptionGroup var guest: DomainArgument
    @OptionGroup var options: SnapshotOptions
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    @Flag(help: "One event a line on stdout, the report last.")
    var jsonStream = false

    @Option(name: .customLong("output"), help: "env: STILLPOINT_…='…' lines for eval.")
    var outputShape: String?

    @Option(help: "How long to wait for another run on this guest; default not at all.")
    var wait: Span?

    @Flag(help: "Print the plan and change nothing.")
    var dryRun = false

    var output: Output {
        get throws(Failure) {
            switch outputShape {
            case nil: return jsonStream ? .jsonStream : shape.output
            case "env": return .env
            case "json": return .json
            case let other?: throw Failure(.usage, "--output is env or json, not '\(other)'")
            }
        }
    }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let output = try output
        let wanted = try options.request()
        let workplace = try workplace(general)
        try workplace.uri.demandLocal(for: "snapshot")
        let interruption = Interruption()
        let signals = Signals(interruption)
        defer { withExtendedLifetime(signals) {} }
        let (begin, startedAt) = (workplace.time.now, workplace.time.wall)
        let open = try await workplace.guest(guest.reference)
        var request = options.complete(wanted, for: open.identity, in: workplace)
        let lock =
            dryRun
            ? nil : try await open.lock(for: "snapshot", waiting: wait?.duration ?? .zero, interruption: interruption)
        defer { lock?.release() }
        let plan = try await open.plan(&request)
        let progress = Progress(open.identity.name, quiet: general.quiet)
        for remark in options.remarks(plan, request) { progress.note(remark) }
        if dryRun {
            try output.result(PlanReport(plan, schema: "stillpoint.plan/v1")) { plan.text($0) }
            return plan.foreseen
        }
        if let failure = plan.findings.refusal?.failure { throw failure }
        let run = RunID.random()
        let stream = output == .jsonStream ? EventStream(run, since: begin) : nil
        let report = await SnapshotRun(
            run, of: plan, for: request, through: try open.ports(for: run), interruption: interruption
        ) { event in
            progress.hear(event)
            stream?.hear(event, at: workplace.time.now)
        }.execute(since: begin, startedAt: startedAt)
        progress.clear()
        try show(report, output)
        return conclude(report)
    }

    private func show(_ report: RunReport, _ output: Output) throws(Failure) {
        if output == .env {
            Terminal.write(report.environment)
        } else {
            try output.result(report) { report.text($0) }
        }
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
