// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Jobs: Verb {
    static let configuration = CommandConfiguration(
        commandName: "jobs",
        abstract: "Block jobs on the guest's disks.")

    @ParentCommand var parent: Stillpoint
    @OptionGroup var guest: DomainArgument
    @Flag(help: "Cancel them: the guest stays on its overlays, nothing is lost.") var cancel = false
    @Flag(help: "With --cancel: print what would be cancelled and change nothing.") var dryRun = false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        if cancel { try workplace.uri.demandLocal(for: "jobs --cancel") }
        let open = try await workplace.guest(guest.reference)
        let report = JobsReport(
            domain: open.identity, jobs: try await open.jobs(), cancelled: cancel && !dryRun, isDryRun: cancel && dryRun
        )
        if report.cancelled { try await open.cancel(report.jobs) }
        try output.result(report) { report.text($0) }
        return .reached
    }
}
