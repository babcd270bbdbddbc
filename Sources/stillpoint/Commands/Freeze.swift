// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Freeze: Verb {
    static let configuration = CommandConfiguration(
        commandName: "freeze",
        abstract: "Freeze by hand, for a storage snapshot of your own; ends by itself.")

    @ParentCommand var parent: Stillpoint
    @OptionGroup var guest: DomainArgument
    @Option(help: "When the guest thaws by itself, 1s to 10m; default 30s.") var lease: Span?
    @Option(help: "How long to wait for another run on this guest; default not at all.") var wait: Span?
    @Flag(help: "Print what would be frozen and change nothing.") var dryRun = false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let duration = lease?.duration ?? .seconds(30)
        guard (.seconds(1)...(.seconds(600))).contains(duration) else {
            throw Failure(.usage, "--lease is 1s to 10m, not \(duration.forPeople)")
        }
        let workplace = try workplace(general)
        try workplace.uri.demandLocal(for: "freeze")
        let interruption = Interruption()
        let signals = Signals(interruption)
        defer { withExtendedLifetime(signals) {} }
        let open = try await workplace.guest(guest.reference)
        func plan() async throws(Failure) -> MemberPlan {
            var request = SnapshotRequest(name: SnapshotName(at: workplace.time.wall))
            (request.registers, request.isDrill) = (false, true)
            return MemberPlan(of: try await open.hypervisor.observe(alsoFolders: [], probing: []), for: request)
        }
        if dryRun {
            let plan = try await plan()
            try output.result(PlanReport(plan, schema: "stillpoint.plan/v1")) { plan.text($0) }
            return plan.conclude()
        }
        let run = RunID.random()
        let report = try await open.held(
            for: "freeze", by: run, waiting: wait?.duration ?? .zero, interruption: interruption
        ) { _ throws(Failure) in
            try await HandFreeze(
                open.identity, control: open.control(for: run), journal: workplace.journal, time: workplace.time,
                interruption: interruption
            ).freeze(try await plan(), as: run, lease: duration)
        }
        try output.result(report) { report.text($0) }
        return .reached
    }
}
