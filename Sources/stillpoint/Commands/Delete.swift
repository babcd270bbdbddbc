// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Delete: MergeVerb {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Forget a snapshot: its overlays are merged into what they lie on, wherever it stands.")
    static let command = CommitRun.Request.Command.delete

    @ParentCommand var parent: Stillpoint
    @Argument(help: "Name, id or UUID.") var domain: String?
    @Argument(help: "The snapshot, by its name or the beginning of its run.") var name: String?
    @OptionGroup var virsh: VirshWords
    @Flag(help: "And all that stand on it, with what reverts left there; the guest's own data stays as it is.")
    var children = false
    @OptionGroup var pace: PaceOptions
    @Option(help: "How long to wait for another run on this guest; default not at all.") var wait: Span?
    @Flag(help: "Print what would be merged and change nothing.") var dryRun = false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    mutating func validate() throws {
        (domain, name) = try virsh.sort([domain, name])
        if name == nil { throw ValidationError("delete wants the snapshot's name") }
    }

    func complete(_ request: inout CommitRun.Request, in workplace: Workplace) throws(Failure) {
        (request.name, request.children, request.options) = (name, children, pace.options)
    }
}
