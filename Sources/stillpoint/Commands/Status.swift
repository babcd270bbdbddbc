// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Status: Verb {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Where the guest stands: agent, freeze, runs, jobs.")

    static let rescues = true

    @ParentCommand var parent: Stillpoint
    @OptionGroup var guest: DomainArgument
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        let report = try await workplace.status(of: workplace.guest(guest.reference))
        try output.result(report) { report.text($0) }
        return .reached
    }
}
