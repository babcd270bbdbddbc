// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Plan: Verb {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "What snapshot would do, and all that speaks against it; changes nothing.")

    @ParentCommand var parent: Stillpoint
    @OptionGroup var guest: DomainArgument
    @OptionGroup var options: SnapshotOptions
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let plan = try await options.plan(guest, in: workplace(general))
        try output.result(PlanReport(plan, schema: "stillpoint.plan/v1")) { plan.text($0) }
        return plan.conclude()
    }
}
