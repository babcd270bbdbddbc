// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
public import Quiesce
import QuiesceKVM

struct Verify: Verb {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Hold a snapshot against QEMU, libvirt and its own images.")

    @ParentCommand var parent: Stillpoint
    @Argument(help: "Name, id or UUID.") var domain: String
    @Argument(help: "The current one without it.") var name: String?
    @Option(help: "chain or filesystem; default what the snapshot claims.") var level: VerificationLevel?
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        try workplace.uri.demandLocal(for: "verify")
        let open = try await workplace.guest(domain)
        let manifest = try await workplace.manifest(of: open.identity, name)
        let progress = Progress(open.identity.name, quiet: general.quiet)
        progress.show("reading the frozen images")
        let report = try await open.verification().verify(manifest, of: open.identity, at: level)
        progress.clear()
        try output.result(report) { report.text($0) }
        guard let failed = report.failure else { return .reached }
        Terminal.complain("stillpoint: \(failed)\n")
        return .verificationFailed
    }
}

extension VerificationLevel: ExpressibleByArgument {}
