// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct End: Verb {
    static let configuration = CommandConfiguration(
        commandName: "end",
        abstract: "End what begin began: the disks are hidden and the snapshot is merged.",
        discussion: "Nothing open is no error. A run whose process was killed is ended as well.")

    @ParentCommand var parent: Stillpoint
    @Argument(help: "Name, id or UUID.") var domain: String?
    @Argument(help: "STILLPOINT_RUN; without it and --label the only one that is open.") var run: String?
    @OptionGroup var virsh: VirshWords
    @Option(help: "The label it was begun with.") var label: String?
    @Option(help: "Most bytes a second for each disk, such as 50M; default unlimited.") var bandwidth: Rate?
    @Option(help: "How long to wait for another run on this guest; default 60s.") var wait: Span?
    @Flag(help: "Print what would be merged and change nothing.") var dryRun = false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    mutating func validate() throws {
        (domain, run) = try virsh.sort([domain, run])
        if run != nil, label != nil { throw ValidationError("RUN and --label do not go together") }
    }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let wanted = virsh.snapshot == nil ? try run.map(checkedRun) : nil
        let workplace = try workplace(general)
        try workplace.uri.demandLocal(for: "end")
        let interruption = Interruption()
        let signals = Signals(interruption)
        defer { withExtendedLifetime(signals) {} }
        let open = try await workplace.guest(demanded(domain))
        let progress = Progress(open.identity.name, general)
        let uses = try await open.openUses().filter { use in
            (wanted == nil || use.run == wanted) && (label == nil || use.label == label)
                && (virsh.snapshot == nil || use.snapshot == virsh.snapshot)
        }
        guard uses.count <= 1 else {
            throw Failure(
                .usage, "\(uses.count) are open on \(open.identity.name): say which",
                hint: uses.map { "\($0.remedy ?? "")   \($0.words)" }.joined(separator: "\n"))
        }
        guard let use = uses.first else {
            let report = EndReport(domain: open.identity, use: nil, commit: nil, isDryRun: dryRun)
            try output.result(report) { report.text($0) }
            return .reached
        }
        let commit =
            if dryRun {
                try await open.endPreview(use)
            } else {
                try await open.end(
                    use, waiting: wait?.duration ?? .seconds(60),
                    options: MergeOptions(bandwidth: bandwidth?.bytes ?? 0, interruption: interruption),
                    interruption: interruption
                ) { progress.hear($0) }
            }
        progress.clear()
        let report = EndReport(domain: open.identity, use: use, commit: commit, isDryRun: dryRun)
        try output.result(report) { report.text($0) }
        return .reached
    }

    private func checkedRun(_ text: String) throws(Failure) -> RunID {
        guard let run = RunID(text) else { throw Failure(.usage, "'\(text)' is not a run", hint: "stillpoint list") }
        return run
    }
}
