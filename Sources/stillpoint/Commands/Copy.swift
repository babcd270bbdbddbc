// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
import Glibc
public import Quiesce
import QuiesceKVM

struct Copy: Verb {
    static let configuration = CommandConfiguration(
        commandName: "copy",
        abstract: "Write a snapshot's disks and papers into a folder: the simplest backup.",
        usage:
            "stillpoint copy <domain> [<name>] <dest> [--format raw|qcow2] [--compress] [--verify] [--bandwidth <rate>] [--dry-run] [--json]",
        discussion: """
            DEST is a folder that is not there yet, or is empty. It gets one flat, sparse image a disk, the manifest, the guest's \
            definition, its UEFI variables, what hooks gave, and SHA256SUMS of them all; it appears when it is whole and synced. \
            The snapshot stays; nothing is merged into it meanwhile. `stillpoint restore DEST/manifest.json` makes a guest of it.
            """)

    @ParentCommand var parent: Stillpoint
    @Argument(help: "Name, id or UUID.") var domain: String?
    @Argument(help: "The snapshot, the current one without it.") var name: String?
    @Argument(help: ArgumentHelp("The folder to make.", valueName: "dest")) var folder: String?
    @OptionGroup var virsh: VirshWords
    @Option(help: "raw or qcow2; default qcow2.") var format: CopyFormat?
    @Flag(help: "Compress the qcow2 images: slower, and smaller.") var compress = false
    @Flag(help: "Compare each copy with what it was copied from; 24 if it is not the same.") var verify = false
    @Option(help: ArgumentHelp("Bytes a second at most, such as 50M.", valueName: "rate")) var bandwidth: Rate?
    @Option(help: "How long to wait for another run on this guest; default not at all.") var wait: Span?
    @Flag(help: "Print what would be done and change nothing.") var dryRun = false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    mutating func validate() throws {
        // The folder is the last of them.
        var words = [domain, name, folder].compactMap(\.self)
        folder = words.popLast()
        (domain, name) = try virsh.sort(words)
        if folder?.isEmpty != false { throw ValidationError("no folder to copy to is named") }
        if compress, format == .raw { throw ValidationError("--compress is for qcow2") }
        if bandwidth?.bytes == 0 { throw ValidationError("--bandwidth 0 would never end") }
    }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        try workplace.uri.demandLocal(for: "copy")
        let interruption = Interruption()
        let signals = Signals(interruption)
        defer { withExtendedLifetime(signals) {} }
        let open = try await workplace.guest(demanded(domain))
        let folder = folder ?? ""
        if name == nil { try await demandFolder(folder, workplace, open.identity) }
        let progress = Progress(open.identity.name, general)
        var request = CopyRequest(to: folder, format ?? .qcow2)
        (request.isCompressed, request.isVerified, request.bandwidth) = (compress, verify, bandwidth?.bytes)
        let report = try await workplace.manifest(of: open.identity, name)
        umask(0o077)
        let copy = try await open.copy(report, request, interruption: interruption) { progress.hear($0) }
        if let shortage = try copy.shortage() {
            guard compress else { throw shortage }
            progress.note("\(shortage.message) before it is compressed")
        }
        if dryRun {
            try output.result(copy.preview) { copy.preview.text($0) }
            return .reached
        }
        let images = try await open.held(
            for: "copy", by: .random(), waiting: wait?.duration ?? .zero, interruption: interruption
        ) { _ throws(Failure) in try await open.openImages(of: report, for: copy) }
        let made = try await copy.make(images) { progress.note($0) }
        progress.clear()
        try output.result(made) { made.text($0) }
        return .reached
    }

    /// A snapshot's name alone would be taken for a folder here.
    private func demandFolder(_ folder: String, _ workplace: Workplace, _ guest: GuestIdentity) async throws(Failure) {
        guard !folder.contains("/"), (try? await workplace.entry(of: guest, folder)) != nil else { return }
        throw Failure(
            .usage, "\(folder) is a snapshot of \(guest.name), and no folder to copy it to is named",
            hint: "stillpoint copy \(guest.name) \(folder) FOLDER\nstillpoint copy \(guest.name) ./\(folder)")
    }
}

extension CopyFormat: ExpressibleByArgument {}
