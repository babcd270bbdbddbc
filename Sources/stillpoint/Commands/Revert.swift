// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Revert: Verb {
    static let configuration = CommandConfiguration(
        commandName: "revert",
        abstract: "Go back to a snapshot; what is left behind is kept, and --undo returns to it.")

    @ParentCommand var parent: Stillpoint
    @Argument(help: "Name, id or UUID.") var domain: String?
    @Argument(help: "The snapshot, by its name or the beginning of its run.") var name: String?
    @OptionGroup var virsh: VirshWords
    @Flag(help: "Start the guest afterwards, however it stood before.") var running = false
    @Flag(help: "Start it paused.") var paused = false
    @Flag(
        name: .customLong("shutdown"),
        help: "Ask a running guest to shut down first, and wait 60s for it; --shutdown=5m waits longer.")
    var shutdown = false
    @Option(name: .customLong("shutdown-within"), help: .hidden) var patience: Span?
    @Flag(help: "Take a running guest's power away first.") var destroy = false
    @Flag(help: "Back to where the guest was before the last revert.") var undo = false
    @Flag(name: .customLong("reset-nvram"), help: "Start with new UEFI variables.") var resetNVRAM = false
    @Flag(name: .customLong("no-memory"), help: "Start anew from the disks of a snapshot that kept its memory.")
    var noMemory = false
    @Option(help: "How long to wait for another run on this guest; default not at all.") var wait: Span?
    @Flag(help: "Print what would be changed and change nothing.") var dryRun = false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    mutating func validate() throws {
        (domain, name) = try virsh.sort([domain, name])
        if name == nil, !undo { throw ValidationError("revert wants the snapshot's name, or --undo") }
        if running, paused { throw ValidationError("--running and --paused do not go together") }
        if shutdown || patience != nil, destroy {
            throw ValidationError("--shutdown and --destroy do not go together")
        }
    }

    private func request() throws(Failure) -> RevertRequest {
        var request = RevertRequest(undo ? .undo(name) : .snapshot(name ?? ""))
        if shutdown || patience != nil { request.stop = .shutDown(within: try patience?.asPatience ?? .seconds(60)) }
        if destroy { request.stop = .powerOff }
        if running || paused { request.ending = paused ? .paused : .running }
        request.resetsNVRAM = resetNVRAM
        request.usesMemory = !noMemory
        return request
    }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let request = try request()
        let workplace = try workplace(general)
        try workplace.uri.demandLocal(for: "revert")
        let interruption = Interruption()
        let signals = Signals(interruption)
        defer { withExtendedLifetime(signals) {} }
        let open = try await workplace.guest(demanded(domain))
        let progress = Progress(open.identity.name, general)
        let revert = RevertRun(
            open.identity, through: try open.lifePorts(), interruption: interruption
        ) { progress.hear($0) }
        let run = RunID.random()
        if dryRun {
            let report = try await revert.plan(request, as: run).report()
            try output.result(report) { report.text($0) }
            return .reached
        }
        let report = try await open.held(
            for: "revert", by: run, waiting: wait?.duration ?? .zero, interruption: interruption
        ) { _ throws(Failure) in
            try await revert.execute(try await revert.plan(request, as: run), as: run)
        }
        progress.clear()
        try output.result(report) { report.text($0) }
        return .reached
    }
}
