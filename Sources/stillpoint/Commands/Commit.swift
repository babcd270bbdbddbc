// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Commit: Verb {
    static let configuration = CommandConfiguration(
        commandName: "commit",
        abstract: "Merge a snapshot's overlays into the images below, live, and remove it.")

    @ParentCommand var parent: Stillpoint
    @Argument(help: "Name, id or UUID.") var domain: String
    @Argument(help: "The newest one without it.") var name: String?
    @Flag(help: "Down to one layer, whatever made the others.") var all = false
    @Option(name: .customLong("disk"), help: "This disk alone; may be repeated.") var disks: [DiskTarget] = []
    @Option(help: "Most bytes a second for each disk, such as 50M; default unlimited.") var bandwidth: Rate?
    @Option(help: "How long copying may take; the overlays stay when it is over.") var timeout: Span?
    @Option(help: "How long to wait for another run on this guest; default not at all.") var wait: Span?
    @Flag(help: "Print what would be merged and change nothing.") var dryRun = false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func validate() throws {
        if all, name != nil { throw ValidationError("NAME and --all do not go together") }
    }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        try workplace.uri.demandLocal(for: "commit")
        let interruption = Interruption()
        let signals = Signals(interruption)
        defer { withExtendedLifetime(signals) {} }
        let open = try await workplace.guest(domain)
        var request = CommitRun.Request()
        (request.name, request.all, request.disks) = (name, all, disks)
        request.options = MergeOptions(
            bandwidth: bandwidth?.bytes ?? 0, limit: timeout?.duration, interruption: interruption)
        let progress = Progress(open.identity.name, quiet: general.quiet)
        let merge = try open.merge { progress.hear($0) }
        if dryRun {
            let plan = try await merge.plan(request)
            let report = plan.report(for: open.identity)
            try output.result(report) { report.text($0) }
            return .reached
        }
        let run = RunID.random()
        let report = try await open.held(
            for: "commit", by: run, waiting: wait?.duration ?? .zero, interruption: interruption,
            telling: { progress.hear($0) }
        ) { [request] _ throws(Failure) in
            try await merge.execute(try await merge.plan(request), request, as: run)
        }
        progress.clear()
        try output.result(report) { report.text($0) }
        return .reached
    }
}
