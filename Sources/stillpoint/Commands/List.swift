// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct List: Verb {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Snapshots, ours and those virsh made, as they stand now.",
        discussion: "Of all guests with snapshots of ours without DOMAIN.")

    @ParentCommand var parent: Stillpoint
    @OptionGroup var guest: DomainArgument
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
        let report = try await workplace.list(guest.given)
        try output.result(report) { ink in
            if names { return report.snapshots.map { $0.name + "\n" }.joined() }
            return tree ? report.tree(ink) : report.text(ink)
        }
        for problem in report.problems {
            Terminal.suggest(problem.hint)
            Terminal.complain("stillpoint: \(problem.message)\n")
        }
        return report.problems.isEmpty ? .reached : .internalError
    }
}
