// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Drill: RunVerb {
    static let configuration = CommandConfiguration(
        commandName: "drill",
        abstract: "Hooks, freeze and thaw without a cut, measured: what a snapshot would reach and cost.")
    static let word = "drill"

    @ParentCommand var parent: Stillpoint
    @OptionGroup var guest: DomainArgument
    @OptionGroup var options: SnapshotOptions
    @Option(help: "How long to wait for another run on this guest; default not at all.") var wait: Span?
    @Flag(help: "Print the plan and change nothing.") var dryRun = false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        try await conduct(general, isDrill: true, output)
    }
}
