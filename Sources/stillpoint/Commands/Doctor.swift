// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Doctor: Verb {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Every obstacle between this guest and a consistent snapshot, each with its fix.")

    @ParentCommand var parent: Stillpoint
    @OptionGroup var guest: DomainArgument
    @OptionGroup var options: SnapshotOptions
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let plan = try await options.plan(guest, in: workplace(general))
        try output.result(PlanReport(plan, schema: "stillpoint.doctor/v1")) { plan.diagnosis($0) }
        return plan.conclude()
    }
}
