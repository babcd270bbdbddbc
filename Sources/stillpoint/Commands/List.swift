// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct List: Verb {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Snapshots, ours and those virsh made, as they stand now.")

    @ParentCommand var parent: Stillpoint
    @Argument(help: "Name, id or UUID; all guests with snapshots of ours without it.")
    var domain: String?
    @Flag(help: "The names alone.")
    var names = false
    @Flag(help: "What stands on what, and where the guest writes.")
    var tree = false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func validate() throws {
        if names, tree { throw ValidationError("--names and --tree do not go together") }
    }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        let report = try await workplace.list(domain)
        try output.result(report) { ink in
            if names { return report.snapshots.map { $0.name + "\n" }.joined() }
            return tree ? report.tree(ink) : report.text(ink)
        }
        return .reached
    }
}
