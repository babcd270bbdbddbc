// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Show: Verb {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "The report of one snapshot, from its manifest.")

    @ParentCommand var parent: Stillpoint
    @Argument(help: "Name, id or UUID.") var domain: String?
    @Argument(help: "The current one without it.") var name: String?
    @OptionGroup var virsh: VirshWords
    @Option(help: "Write what a hook gave under this name to stdout, byte by byte, instead.") var artifact: String?
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    mutating func validate() throws {
        (domain, name) = try virsh.sort([domain, name])
        if artifact != nil, shape.json {
            throw ValidationError("--artifact and --json do not go together: one is the bytes themselves")
        }
    }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        let open = try await workplace.guest(demanded(domain))
        if let artifact {
            Terminal.write(
                try await workplace.artifact(artifact, of: open.identity, name, forTerminal: Terminal.isTerminal))
            return .reached
        }
        let fate = try await workplace.entry(of: open.identity, name).fate
        var report = try await workplace.manifest(of: open.identity, name)
        let history = try await workplace.verifications(of: open.identity, report.run)
        report.learn(history, of: open.identity)
        try output.result(report) { [report] in
            fate.text($0) + report.text($0) + report.recovery($0) + history.text($0)
        }
        return .reached
    }
}
