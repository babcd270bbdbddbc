// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Snapshot: RunVerb {
    static let configuration = CommandConfiguration(
        commandName: "snapshot",
        abstract: "Freeze, cut all chosen disks at one moment, thaw, verify.")
    static let word = "snapshot"

    @ParentCommand var parent: Stillpoint
    @OptionGroup var guest: DomainArgument
    @OptionGroup var options: SnapshotOptions
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    @Flag(help: "One event a line on stdout, the report last.")
    var jsonStream = false

    @Option(name: .customLong("output"), help: "env: STILLPOINT_…='…' lines for eval.")
    var outputShape: OutputShape?

    @Option(help: "How long to wait for another run on this guest; default not at all.")
    var wait: Span?

    @Flag(help: "Print the plan and change nothing.")
    var dryRun = false

    var output: Output { outputShape == nil && jsonStream ? .jsonStream : shape.output(outputShape) }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        try await conduct(general, isDrill: false, output)
    }
}
