// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Glibc
import Quiesce
import QuiesceKVM

struct Run: RunVerb {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Snapshot, run a command on the frozen disks, commit whatever the command did.",
        usage: "stillpoint run DOMAIN [options] -- COMMAND …",
        discussion: """
            The command finds STILLPOINT_DISK_vda, a flat read-only raw file, and for each disk also _FORMAT_ and _CHAIN_; \
            STILLPOINT_FOLDER with all of them, _RUN, _DOMAIN, _SNAPSHOT, _CONSISTENCY, _DISKS and _MANIFEST.
            A command that fails gives 40, with its status on the last line of stderr and in command.exit.
            """)
    static let word = "run"

    @ParentCommand var parent: Stillpoint
    @OptionGroup var guest: DomainArgument
    @OptionGroup var options: SnapshotOptions
    @Flag(help: "Hand over the image files themselves, not flat files.") var images = false
    @Flag(help: "End with the command's own status.") var passExit = false
    @Option(help: "How long to wait for another run on this guest; default not at all.") var wait: Span?
    @Flag(help: "Print the plan and change nothing.") var dryRun = false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions
    @Argument(parsing: .postTerminator, help: "After --: the command and its arguments; no shell is between.")
    var command: [String] = []

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let command = try CallersCommand(self.command)
        let interruption = Interruption()
        let signals = Signals(interruption)
        defer { withExtendedLifetime(signals) {} }
        var call = try await call(general, interruption)
        if dryRun { return try await call.showPlan(output) }
        let way: SnapshotUse.Way = images ? .images : .fuse
        try call.demandExports(way)
        await call.endOverdue()
        let taken = try await call.handOver(as: .run, way)
        guard let export = taken.export else {
            call.progress.clear()
            try output.result(taken.report) { _ in "" }
            return taken.report.conclude()
        }
        var handover = HandoverReport(
            taken.report, manifest: call.open.manifestPath(of: call.run), use: export.use, disks: export.disks)
        call.progress.clear()
        if !general.quiet { call.progress.note(handover.beginning(command.name)) }
        let ended = await outcome { () throws(Failure) in
            try await export.whileOpen { [handover, time = call.workplace.time] () throws(Failure) in
                try await command.run(
                    with: handover.variables, quiet: output == .json, interruption: interruption, time: time)
            }
        }
        let merged = await outcome { () throws(Failure) in try await call.end(export.use) }
        handover.command = try? ended.get()
        handover.commit = (try? merged.get()) ?? nil
        handover.run.judge(command.name, ended, merged, interruption)
        call.progress.clear()
        try output.result(handover) { _ in "" }
        let status = handover.run.conclude()
        if passExit, status == .commandFailed, let exit = handover.command?.exit { Glibc.exit(exit) }
        return status
    }
}

private func outcome<Value>(_ body: () async throws(Failure) -> Value) async -> Result<Value, Failure> {
    do throws(Failure) { return .success(try await body()) } catch { return .failure(error) }
}

extension SnapshotCall {
    /// Takes the snapshot and opens its images, all under one lock, so that nobody merges it in between. Without an export
    /// the run came to nothing that can be handed over, and its report says why.
    mutating func handOver(
        as kind: SnapshotUse.Kind, _ way: SnapshotUse.Way, label: String? = nil, until: Timestamp? = nil
    ) async throws(Failure) -> (report: RunReport, export: ImageExport?) {
        let (report, export) = try await held { call, lock throws(Failure) in
            try await call.handOver(holding: lock, as: kind, way, label: label, until: until)
        }
        return (report, try await kept(report, export))
    }

    /// What can be known before the snapshot.
    func demandExports(_ way: SnapshotUse.Way) throws(Failure) {
        if request.isInternal {
            throw Failure(.usage, "--internal leaves the disks as they are: there is nothing frozen to hand over")
        }
        try open.demandExports(way)
    }

    /// What can be handed over; else the snapshot is taken back.
    func kept(_ report: RunReport, _ export: Result<ImageExport, Failure>?) async throws(Failure) -> ImageExport? {
        switch export {
        case .success(let export)?: return export
        case .failure(let failure)?:
            // What nobody can read is of no use.
            progress.note("\(failure.message); taking the snapshot back")
            try await takeBack()
            throw failure
        case nil:
            if report.exit == ExitStatus.verificationFailed.rawValue { try await takeBack() }
            return nil
        }
    }

    mutating func handOver(
        holding lock: GuestLock, as kind: SnapshotUse.Kind, _ way: SnapshotUse.Way, label: String?, until: Timestamp?
    ) async throws(Failure) -> (RunReport, Result<ImageExport, Failure>?) {
        let report = try await take(holding: lock)
        guard [.reached, .filesystemOnly, .crashOnly, .releaseFailed].contains(ExitStatus(rawValue: report.exit)) else {
            return (report, nil)
        }
        do throws(Failure) {
            return (report, .success(try await open.export(report, as: kind, way, in: nil, label: label, until: until)))
        } catch {
            return (report, .failure(error))
        }
    }

    private func takeBack() async throws(Failure) {
        var commit = CommitRun.Request()
        commit.name = request.name.description
        let merge = try open.merge { [progress] in progress.hear($0) }
        _ = try await open.held(for: word, by: run, waiting: patience, interruption: Interruption()) {
            [commit] _ throws(Failure) in try await merge.execute(try await merge.plan(commit), commit)
        }
    }

    /// Merges the snapshot back; a second Ctrl-C leaves it to `end`.
    func end(_ use: SnapshotUse) async throws(Failure) -> CommitReport? {
        let again = Interruption()
        let signals = Signals(again)
        defer { withExtendedLifetime(signals) {} }
        return try await open.end(
            use, waiting: patience, options: MergeOptions(interruption: again), interruption: again
        ) { [progress] in progress.hear($0) }
    }

    /// For whoever holds the guest while ours is to be merged.
    private var patience: Duration { max(wait, .seconds(60)) }
}

extension RunReport {
    /// How it ended as a whole: what was asked of us by a signal, the command, the commit, and then the snapshot.
    fileprivate mutating func judge(
        _ name: String, _ command: Result<HandoverReport.Command, Failure>, _ commit: Result<CommitReport?, Failure>,
        _ interruption: Interruption
    ) {
        let stays = if case .failure(let failure) = commit { "; the snapshot stays: \(failure.message)" } else { "" }
        let hint = if case .failure(let failure) = commit { failure.hint } else { String?.none }
        let failure: Failure? =
            switch (interruption.status, command, commit) {
            case (let asked?, .success(let ended), _):
                Failure(asked, "interrupted; \(name): \(ended.words)\(stays)", hint: hint)
            case (_, .failure(let failure), _):
                Failure(failure.status, failure.message + stays, hint: failure.hint ?? hint)
            case (nil, .success(let ended), _) where ended.exit != 0:
                Failure(.commandFailed, "\(name): \(ended.words)\(stays)", hint: hint)
            case (nil, .success, .failure(let failure)): failure
            default: nil
            }
        guard let failure else { return }
        exit = failure.status.rawValue
        error = Cause(failure)
    }
}

extension HandoverReport {
    /// Before the command writes itself.
    fileprivate func beginning(_ name: String) -> String {
        let frozen = run.members.first?.freeze.map { ", frozen \(Duration.milliseconds($0.windowMs).forPeople)" } ?? ""
        let snapshot = run.members.first?.snapshot?.name ?? ""
        return "\(snapshot), \(run.verdict.consistency.rawValue)-consistent\(frozen): running \(name)"
    }
}
