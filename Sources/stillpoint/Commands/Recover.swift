// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Recover: Verb {
    static let configuration = CommandConfiguration(
        commandName: "recover",
        abstract: "Bring every interrupted run to safety: thaw, release, clean up, adopt, resume.",
        discussion: "Of every guest without DOMAIN.")

    static let rescues = true

    @ParentCommand var parent: Stillpoint
    @OptionGroup var guest: DomainArgument
    @Flag(help: "Make the saved definition name what QEMU writes to, where they disagree.") var repair = false
    @Flag(help: "Print what would be done and change nothing.") var dryRun = false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        try workplace.uri.demandLocal(for: "recover")
        let interruption = Interruption()
        let signals = Signals(interruption)
        defer { withExtendedLifetime(signals) {} }
        let report = try await workplace.recover(
            guest.given, repairs: repair, isDryRun: dryRun, interruption: interruption
        ) { name in
            let progress = Progress(name, general)
            return { progress.hear($0) }
        }
        try output.result(report) { report.text($0) }
        guard let cause = report.cause else { return .reached }
        Terminal.suggest(cause.hint)
        Terminal.complain("stillpoint: \(cause.message)\n")
        return cause.status
    }
}
