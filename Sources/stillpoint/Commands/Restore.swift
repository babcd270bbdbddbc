// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Glibc
import Quiesce
import QuiesceKVM

struct Restore: Verb {
    static let configuration = CommandConfiguration(
        commandName: "restore",
        abstract: "Make a guest of a copy again.",
        discussion: """
            MANIFEST is the manifest.json in a folder that copy made. The folder is not trusted: digests are checked (24 if one \
            differs), images are converted, and of the definition only what names nothing on this host stays; what is left out is \
            listed. Without --as the guest gets its old name, UUID and MAC addresses back, and must be gone; with it, new ones. \
            It is defined and not started.
            """)

    @ParentCommand var parent: Stillpoint
    @Argument(help: "The manifest.json in the copy's folder.") var manifest: String
    @Option(name: .customLong("as"), help: ArgumentHelp("Name of the restored guest.", valueName: "name")) var name:
        String?
    @Option(
        name: .customLong("to"),
        help: ArgumentHelp(
            "Folder for its images, not there yet or empty; default one of its name in libvirt's own.",
            valueName: "dir"))
    var folder: String?
    @Flag(help: "Check what can be checked in no time, print what would be done, and change nothing.") var dryRun =
        false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func validate() throws {
        if let name, SnapshotName(name) == nil {
            throw ValidationError("--as '\(name)' is no name: letters, digits, '.', '_' and '-', no dot or dash first")
        }
        if folder?.isEmpty == true { throw ValidationError("the folder has no name") }
    }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        try workplace.uri.demandLocal(for: "restore")
        let interruption = Interruption()
        let signals = Signals(interruption)
        defer { withExtendedLifetime(signals) {} }
        let progress = Progress(name ?? "restore", general)
        umask(0o077)
        let restoration = try await workplace.restoration(
            of: manifest, as: name, to: folder, interruption: interruption
        ) { progress.hear($0) }
        if dryRun {
            try output.result(restoration.preview) { restoration.preview.text($0) }
            return .reached
        }
        let report = try await restoration.make(interruption: interruption)
        progress.clear()
        try output.result(report) { report.text($0) }
        return .reached
    }
}
