// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Commit: MergeVerb {
    static let configuration = CommandConfiguration(
        commandName: "commit",
        abstract: "Merge a snapshot's overlays into the images below, live, and remove it.")
    static let command = CommitRun.Request.Command.commit

    @ParentCommand var parent: Stillpoint
    @Argument(help: "Name, id or UUID.") var domain: String?
    @Argument(help: "The newest one without it; any of them with it.") var name: String?
    @OptionGroup var virsh: VirshWords
    @Flag(help: "Down to one layer, whatever made the others.") var all = false
    @Option(name: .customLong("disk"), help: "This disk alone; may be repeated.") var disks: [DiskTarget] = []
    @OptionGroup var pace: PaceOptions
    @Option(help: "How long to wait for another run on this guest; default not at all.") var wait: Span?
    @Flag(help: "Print what would be merged and change nothing.") var dryRun = false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    mutating func validate() throws {
        (domain, name) = try virsh.sort([domain, name])
        if all, name != nil { throw ValidationError("NAME and --all do not go together") }
    }

    func complete(_ request: inout CommitRun.Request, in workplace: Workplace) throws(Failure) {
        (request.name, request.all, request.disks) = (name, all, disks)
        request.options = pace.options
    }
}

/// How fast layers are merged.
struct PaceOptions: ParsableArguments {
    @Option(help: "Most bytes a second for each disk, such as 50M; default unlimited.") var bandwidth: Rate?
    @Option(help: "How long copying may take; the overlays stay when it is over.") var timeout: Span?

    var options: MergeOptions { MergeOptions(bandwidth: bandwidth?.bytes ?? 0, limit: timeout?.duration) }
}
