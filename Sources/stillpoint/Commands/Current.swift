// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Current: Verb {
    static let configuration = CommandConfiguration(
        commandName: "current",
        abstract: "The name of the snapshot the guest stands on.")

    private struct Answer: Encodable {
        var schema = "stillpoint.current/v1"
        var domain: GuestIdentity
        var name: String
    }

    @ParentCommand var parent: Stillpoint
    @OptionGroup var guest: DomainArgument
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        let open = try await workplace.guest(guest.reference)
        let name = try await workplace.entry(of: open.identity, nil).name
        try output.result(Answer(domain: open.identity, name: name)) { _ in name + "\n" }
        return .reached
    }
}
