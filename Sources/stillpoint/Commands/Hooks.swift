// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Hooks: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The hooks that prepare applications: which there are, what they find, how they get into a guest.",
        subcommands: [HooksList.self, HooksProbe.self, HooksInstall.self])
}

struct HooksList: Verb {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Every hook, where it is from and what it can be told.")

    @ParentCommand var parent: Stillpoint
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let report = HooksReport(try HookCatalogue().hooks)
        try output.result(report) { report.text($0) }
        return .reached
    }
}

/// One guest, and which of the hooks are meant.
struct HookOptions: ParsableArguments {
    @OptionGroup var guest: DomainArgument
    @Option(name: .customLong("hook"), help: "This hook alone; may be repeated.")
    var hooks: [String] = []

    func choices(of guest: GuestIdentity, in workplace: Workplace) throws(Failure) -> [HookChoice] {
        var request = SnapshotRequest(name: SnapshotName(at: workplace.time.wall))
        try workplace.configure(&request, for: guest, hooks: hooks)
        return request.hooks
    }
}

struct HooksProbe: Verb {
    static let configuration = CommandConfiguration(
        commandName: "probe", abstract: "What the hooks find in a guest; nothing is prepared or locked.")

    @ParentCommand var parent: Stillpoint
    @OptionGroup var options: HookOptions
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        let open = try await workplace.guest(options.guest.reference)
        let choices = try options.choices(of: open.identity, in: workplace)
        let facts = try await open.hypervisor.observe(alsoFolders: [], probing: choices)
        guard let agent = facts.agent.report, agent.freezeState == .thawed else {
            throw Failure(
                .refused, "the guest agent of \(open.identity.name) cannot be asked",
                hint: "stillpoint doctor \(open.identity.name)")
        }
        guard agent.canExecute else {
            throw Failure(
                .refused,
                "guest-exec is disabled in the guest agent of \(open.identity.name): no hook can be run there",
                hint: "stillpoint doctor \(open.identity.name)\nstillpoint hooks install \(open.identity.name)")
        }
        let report = ProbeReport(facts, tried: choices)
        try output.result(report) { report.text($0) }
        return .reached
    }
}

struct HooksInstall: Verb {
    static let configuration = CommandConfiguration(
        commandName: "install",
        abstract: "Hooks for a guest whose agent may run nothing: scripts that it runs around its own freeze.",
        discussion: """
            With guest-exec they are put in place; without it, and with --print, a script that does so is printed:
            stillpoint hooks install db01 --print | ssh root@db01 sh
            """)

    @ParentCommand var parent: Stillpoint
    @OptionGroup var options: HookOptions
    @Flag(
        name: [.customLong("print"), .customLong("dry-run")],
        help: "Print the script that puts them in place, and change nothing.")
    var print = false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        if !print { try workplace.uri.demandLocal(for: "hooks install") }
        let open = try await workplace.guest(options.guest.reference)
        let dropIns = DropIns(try options.choices(of: open.identity, in: workplace), for: open.identity.name)
        let report: InstallationReport
        if print {
            report = InstallationReport(domain: open.identity, script: dropIns.installer)
        } else if try await open.canExecute() {
            report = try await open.install(dropIns)
        } else {
            report = InstallationReport(domain: open.identity, script: dropIns.installer)
            Terminal.complain(
                "\(open.identity.name): guest-exec is disabled in the guest agent, so this is to be run there as root\n"
            )
        }
        try output.result(report) { report.text($0) }
        return .reached
    }
}
