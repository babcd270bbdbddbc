// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Plan: Verb {
    static let configuration = CommandConfiguration(
        abstract: "What snapshot would do, and all that speaks against it; changes nothing.")

    @ParentCommand var parent: Stillpoint
    @OptionGroup var guest: DomainArgument
    @OptionGroup var options: SnapshotOptions
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        let open = try await workplace.guest(guest.reference)
        let request = try options.request(for: open.identity, in: workplace)
        let plan = try await open.plan(request)
        try output.result(PlanReport(plan, schema: "stillpoint.plan/v1")) { plan.text($0) }
        return plan.foreseen
    }
}
