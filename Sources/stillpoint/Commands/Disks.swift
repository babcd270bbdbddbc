// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Disks: Verb {
    static let configuration = CommandConfiguration(
        commandName: "disks",
        abstract: "The guest's disks: chain, growth, filesystems.")

    @ParentCommand var parent: Stillpoint
    @OptionGroup var guest: DomainArgument
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let open = try await workplace(general).guest(guest.reference)
        let facts = try await open.hypervisor.observe(alsoFolders: [], probing: [])
        let report = DisksReport(facts, allocated: open.allocated(facts.disks.flatMap(\.liveChain).map(\.path)))
        try output.result(report) { report.text($0) }
        return .reached
    }
}
