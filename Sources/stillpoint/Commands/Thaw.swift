// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Thaw: Verb {
    static let configuration = CommandConfiguration(
        commandName: "thaw",
        abstract: "Thaw what we froze; never waits for a lock.")

    static let rescues = true

    @ParentCommand var parent: Stillpoint
    @OptionGroup var guest: DomainArgument
    @Flag(help: "A freeze that is not ours, too.") var foreign = false
    @Flag(help: "Print what would be thawed and change nothing.") var dryRun = false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        let interruption = Interruption()
        let signals = Signals(interruption)
        defer { withExtendedLifetime(signals) {} }
        let open = try await workplace.guest(guest.reference)
        let report = try await HandFreeze(
            open.identity, control: open.control(for: .random()), journal: workplace.journal, time: workplace.time,
            interruption: interruption
        ).thaw(try await open.thawable(), foreign: foreign, isDryRun: dryRun)
        try output.result(report) { report.text($0) }
        return .reached
    }
}
