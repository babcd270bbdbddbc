// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Glibc
import Quiesce
import QuiesceKVM

struct Export: Verb {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Show a snapshot's disks read-only: as raw files, or on an NBD socket.",
        discussion: """
            With --fuse one file a disk appears in DIR, vda.raw, with its partition table. With --nbd DIR/nbd.sock serves one \
            export a disk, named by its target, that tells which blocks hold data. Both are for the same user alone.
            Ends with Ctrl-C, or with the process that called it; with --detach at export --stop.
            """)

    @ParentCommand var parent: Stillpoint
    @Argument(help: "Name, id or UUID.") var domain: String?
    @Argument(help: "The current one without it.") var name: String?
    @OptionGroup var virsh: VirshWords
    @Option(help: "Show raw files in this folder; made if it is not there.") var fuse: String?
    @Option(help: "Make a socket in this folder; made if it is not there.") var nbd: String?
    @Flag(help: "Go on in the background, until --stop.") var detach = false
    @Flag(help: "End exports: of DOMAIN, of NAME, or with neither all that this state folder knows of.") var stop =
        false
    @Option(help: "How long to wait for another run on this guest; default not at all.") var wait: Span?
    @Flag(help: "Print what would be done and change nothing.") var dryRun = false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    mutating func validate() throws {
        (domain, name) = try virsh.sort([domain, name])
        if stop {
            if fuse != nil || nbd != nil || detach {
                throw ValidationError("--stop goes with DOMAIN and NAME alone")
            }
            return
        }
        if (fuse == nil) == (nbd == nil) { throw ValidationError("one of --fuse DIR and --nbd DIR is needed") }
        if (fuse ?? nbd)?.isEmpty == true { throw ValidationError("the folder has no name") }
    }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        try workplace.uri.demandLocal(for: "export")
        return stop ? try await stopExports(workplace) : try await export(workplace, general)
    }

    private func export(_ workplace: Workplace, _ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let interruption = Interruption()
        let signals = Signals(interruption)
        defer { withExtendedLifetime(signals) {} }
        let caller = getppid()
        let open = try await workplace.guest(demanded(domain))
        let report = try await workplace.manifest(of: open.identity, name)
        let way: SnapshotUse.Way = fuse != nil ? .fuse : .nbd
        let folder = try Workplace.absolute(fuse ?? nbd ?? "")
        if dryRun {
            let preview = try await open.exportPreview(report, way, in: folder)
            try output.result(preview) { preview.text($0) }
            return .reached
        }
        // Of the socket: whoever can open it can read the disks.
        umask(0o077)
        let export = try await open.held(
            for: "export", by: .random(), waiting: wait?.duration ?? .zero, interruption: interruption
        ) { _ throws(Failure) in try await open.export(report, as: .export, way, in: folder) }
        let told = ExportReport(report, export.use, disks: export.disks, isDetached: detach)
        if detach {
            try await export.leave()
            try output.result(told) { told.text($0) }
            return .reached
        }
        try await export.whileOpen { () throws(Failure) in
            try output.result(told) { told.text($0) }
            while interruption.status == nil, getppid() == caller {
                await workplace.time.sleep(until: workplace.time.now + .milliseconds(100))
                guard export.isServed else {
                    if try await workplace.uses(of: open.identity).contains(where: { $0.id == export.use.id }) {
                        throw Failure(
                            .internalError,
                            "qemu-storage-daemon has ended: \(export.use.snapshot) is not exported any more")
                    }
                    return
                }
            }
        }
        return .reached
    }

    private func stopExports(_ workplace: Workplace) async throws(Failure) -> ExitStatus {
        let guest = if let domain { try await workplace.guest(domain) } else { OpenGuest?.none }
        let uses = try await workplace.uses(of: guest?.identity).filter { use in
            use.kind == .export && (name == nil || use.snapshot == name)
        }
        if !dryRun { try await workplace.stop(uses) }
        let report = StopReport(uses, isDryRun: dryRun)
        try output.result(report) { report.text($0) }
        return .reached
    }
}
