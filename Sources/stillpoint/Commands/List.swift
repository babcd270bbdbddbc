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
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        let report = try await workplace.list(domain)
        try output.result(report) { ink in
            names ? report.snapshots.map { $0.name + "\n" }.joined() : report.text(ink)
        }
        return .reached
    }
}
