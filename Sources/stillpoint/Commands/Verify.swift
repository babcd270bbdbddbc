// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
public import Quiesce
import QuiesceKVM

struct Verify: Verb {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Hold a snapshot against QEMU, libvirt and its own images, or start a clone from it.",
        discussion: """
            --level application starts a throw-away clone of the guest from overlays on the frozen images, without a network, \
            lets every application recover in it, and compares what it recovered to with what was recorded at the cut. \
            A level that was asked for and could not be checked: 10, or 11 where that is so of the filesystems.
            """)

    @ParentCommand var parent: Stillpoint
    @Argument(help: "Name, id or UUID.") var domain: String?
    @Argument(help: "The current one without it.") var name: String?
    @OptionGroup var virsh: VirshWords
    @Option(help: "chain, filesystem or application; default what the snapshot claims and its images tell.")
    var level: VerificationLevel?
    @OptionGroup var clone: CloneOptions
    @Flag(help: "Every snapshot that is kept, of every guest.") var all = false
    @Option(help: "With --all: those that were not verified at this level for so long, such as 7d.") var every: Span?
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    mutating func validate() throws {
        (domain, name) = try virsh.sort([domain, name])
        if !all, domain == nil { throw ValidationError("no domain is named, nor --all") }
        if let folder = clone.scratch, !folder.hasPrefix("/") {
            throw ValidationError("--scratch '\(folder)' is no absolute path")
        }
        if all, domain != nil || name != nil { throw ValidationError("DOMAIN and --all do not go together") }
        if !all, every != nil { throw ValidationError("--every goes with --all") }
        if all, clone.keep || clone.dryRun { throw ValidationError("--keep and --dry-run are for one snapshot") }
        if level != .application, clone.isUsed {
            throw ValidationError(
                "--keep, --half-memory, --timeout, --scratch and --dry-run go with --level application")
        }
    }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        try workplace.uri.demandLocal(for: "verify")
        let interruption = Interruption()
        let signals = Signals(interruption)
        defer { withExtendedLifetime(signals) {} }
        if all { return try await verifyAll(workplace, interruption, general) }
        let open = try await workplace.guest(demanded(domain))
        let progress = Progress(open.identity.name, general)
        let manifest = try await workplace.manifest(of: open.identity, name)
        if clone.dryRun, let run = RunID(manifest.run) {
            let plan = try await clone.run(on: open, of: manifest, in: workplace, interruption, progress).plan(
                try manifest.snapshot(of: open.identity).snapshot, of: run)
            try output.result(ClonePlanReport(plan)) { plan.text($0) }
            return .reached
        }
        let report = try await verify(manifest, of: open, in: workplace, interruption, progress)
        progress.clear()
        try output.result(report) { report.text($0) }
        let status = report.status(asked: level)
        if let cause = report.failure ?? report.missed(asked: level) { Terminal.complain("stillpoint: \(cause)\n") }
        return status
    }

    private func verify(
        _ manifest: RunReport, of open: OpenGuest, in workplace: Workplace, _ interruption: Interruption,
        _ progress: Progress
    ) async throws(Failure) -> VerificationReport {
        progress.show("reading the frozen images")
        let cloning =
            level == .application
            ? try clone.run(on: open, of: manifest, in: workplace, interruption, progress) : nil
        let report = try await open.verification().verify(
            manifest, of: open.identity, at: level, cloning: cloning, loss: try await open.loss(of: manifest))
        try await open.keep(
            VerificationRecord(report, asked: level, at: workplace.time.wall), of: manifest.run)
        return report
    }

    /// One after the other; a snapshot that cannot be verified does not keep the others from it.
    private func verifyAll(
        _ workplace: Workplace, _ interruption: Interruption, _ general: GeneralOptions
    ) async throws(Failure) -> ExitStatus {
        let due = try await workplace.unverified(at: level, for: every?.duration ?? .zero)
        var result = VerificationsReport(notDue: due.rest)
        for entry in due.entries {
            if let status = interruption.status {
                throw Failure(status, "interrupted, \(result.verified.count) verified")
            }
            let progress = Progress("\(entry.guest.name) \(entry.name)", general)
            do throws(Failure) {
                let open = try await workplace.guest(entry.guest.uuid)
                let manifest = try await workplace.manifest(of: open.identity, entry.run.description)
                result.verified.append(try await verify(manifest, of: open, in: workplace, interruption, progress))
            } catch {
                progress.note(error.message)
                result.add(error, for: entry)
            }
            progress.clear()
        }
        try output.result(result) { result.text($0) }
        let status = result.status(asked: level)
        if let cause = result.cause(asked: level) { Terminal.complain("stillpoint: \(cause)\n") }
        return status
    }
}

/// How a clone is started.
struct CloneOptions: ParsableArguments {
    @Flag(help: "Leave the clone running, for a look; virsh destroy ends it.") var keep = false
    @Flag(help: "Give the clone half of the guest's memory.") var halfMemory = false
    @Option(help: "How long all of it may take; default 10m. What is not done by then is not checked.") var timeout:
        Span?
    @Option(help: "Folder for what the clone writes; default /var/tmp.") var scratch: String?
    @Flag(help: "Print what would be cloned and start nothing.") var dryRun = false

    var isUsed: Bool { keep || halfMemory || timeout != nil || scratch != nil || dryRun }

    func run(
        on open: OpenGuest, of manifest: RunReport, in workplace: Workplace, _ interruption: Interruption,
        _ progress: Progress
    ) throws(Failure) -> CloneRun {
        var request = CloneRun.Request()
        request.limit = timeout?.duration ?? request.limit
        (request.halvesMemory, request.keeps) = (halfMemory, keep)
        var snapshot = SnapshotRequest(name: SnapshotName(at: workplace.time.wall))
        // Those that ran, whatever the configuration says today.
        let applications = try manifest.snapshot(of: open.identity).member.applications
        let names = applications.filter(\.hasRun).map(\.name)
        try workplace.configure(&snapshot, for: open.identity, hooks: Array(Set(names)).sorted())
        request.hooks = snapshot.hooks
        return CloneRun(
            on: try open.clones(in: scratch ?? "/var/tmp"), request, time: workplace.time, interruption: interruption
        ) { progress.show($0) }
    }
}

extension VerificationLevel: ExpressibleByArgument {}
