// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

/// What `snapshot`, `plan` and `doctor` take to say what is wanted.
struct SnapshotOptions: ParsableArguments {
    @OptionGroup var selection: SelectionOptions

    @Option(name: [.customLong("name"), .customLong("snapshotname")], help: "Default YYYYMMDD-HHMMSS.")
    var name: String?

    @Option(help: "A text kept with the snapshot.")
    var description: String?

    @Option(help: "application, filesystem or crash: below it the snapshot is undone.")
    var require: Consistency?

    @Option(help: "Longest window, 2s to 30s; default 5s.")
    var maxFreeze: Span?

    @Flag(name: .customLong("no-freeze"), help: "Cut a running guest without freezing it: crash-consistent.")
    var noFreeze = false

    @Flag(name: .customLong("no-hooks"), help: "Prepare no application: filesystem-consistent.")
    var noHooks = false

    @Option(name: .customLong("hook"), help: "This hook alone, by its name in hooks list; may be repeated.")
    var hooks: [String] = []

    @Option(help: "Longest time that applications are held, 2s to 10m; default 15s.")
    var maxHold: Span?

    @Flag(name: .customLong("no-metadata"), help: "Do not register the snapshot with libvirt.")
    var noMetadata = false

    @Flag(name: .customLong("no-expedite"), help: "Leave the guest's RCU as it is during the freeze.")
    var noExpedite = false

    @Flag(
        name: .customLong("shutdown"),
        help: "Shut the guest down for the cut, and start it again; --shutdown=10m gives it more time than 5m.")
    var shutsDown = false
    @Option(name: .customLong("shutdown-within"), help: .hidden) var patience: Span?
    var shutdown: Span? { patience ?? (shutsDown ? .fiveMinutes : nil) }

    @Option(help: "RAM and processor state of the same moment go to this file, without a freeze.")
    var memory: String?

    @Flag(name: .customLong("internal"), help: "Inside the qcow2 images of a guest that is off, all of its disks.")
    var isInternal = false

    /// virsh's `[file=]FILE[,snapshot=external]`.
    @Option(help: .hidden) var memspec: String?

    // virsh's words for what is always so here.
    @Flag(name: .customLong("disk-only"), help: .hidden) var diskOnly = false
    @Flag(help: .hidden) var atomic = false
    @Flag(help: .hidden) var quiesce = false
    @Flag(help: .hidden) var live = false

    /// What the command line says. What is wrong with it is told before any hypervisor is asked.
    func request() throws(Failure) -> SnapshotRequest {
        var wanted = SnapshotRequest(name: SnapshotName(at: SystemTime().wall))
        wanted.isNameChosen = name != nil
        if let name {
            guard let chosen = SnapshotName(name) else {
                throw Failure(
                    .usage, "'\(name)' cannot be a snapshot's name",
                    hint: "1 to 128 letters, digits, dots, dashes and underscores, without a leading dot or dash")
            }
            wanted.name = chosen
        }
        wanted.selection = try selection.selection()
        wanted.note = try note()
        wanted.freezes = !noFreeze
        wanted.memoryFile = try memoryFile()
        wanted.isInternal = isInternal
        wanted.shutsDown = try shutdown?.asPatience
        wanted.runsHooks =
            !noHooks && !noFreeze && shutdown == nil && !isInternal && wanted.memoryFile == nil
        wanted.registers = !noMetadata
        wanted.expedites = !noExpedite
        if let require {
            guard require != .none else { throw Failure(.usage, "--require none asks for nothing") }
            wanted.required = require
        }
        if let maxFreeze { wanted.maxFreeze = maxFreeze.duration }
        if let maxHold { wanted.maxHold = maxHold.duration }
        guard (SnapshotRequest.shortestWindow...SnapshotRequest.longestWindow).contains(wanted.maxFreeze) else {
            throw Failure(.usage, "--max-freeze is 2s to 30s, not \(wanted.maxFreeze.forPeople)")
        }
        return try checked(wanted)
    }

    private func memoryFile() throws(Failure) -> String? {
        var file = memory
        if let memspec {
            guard memory == nil else { throw Failure(.usage, "--memory and --memspec mean the same: give one") }
            for part in memspec.split(separator: ",") where part != "snapshot=external" {
                let isFile = file == nil && (part.hasPrefix("file=") || !part.contains("="))
                guard isFile else {
                    throw Failure(.usage, "'\(memspec)': a memspec is [file=]FILE[,snapshot=external] here")
                }
                file = part.hasPrefix("file=") ? String(part.dropFirst(5)) : String(part)
            }
        }
        if let file, !file.hasPrefix("/") {
            throw Failure(.usage, "--memory wants an absolute path, not '\(file)'")
        }
        return file
    }

    /// What belongs to one shape of snapshot and not to another.
    private func checkShape(_ wanted: SnapshotRequest) throws(Failure) {
        func apart(_ one: String, _ other: String, _ why: String) -> Failure {
            Failure(.usage, "\(one) and \(other) do not go together: \(why)")
        }
        if wanted.memoryFile != nil {
            if isInternal { throw apart("--memory", "--internal", "a guest that is off has no memory") }
            if shutdown != nil { throw apart("--memory", "--shutdown", "a guest that is off has no memory") }
            if diskOnly { throw apart("--memory", "--disk-only", "one of them is meant") }
            if !hooks.isEmpty || quiesce {
                throw apart(
                    "--memory", quiesce ? "--quiesce" : "--hook",
                    "what is held or frozen would still be when the memory is brought back")
            }
            if let required = wanted.required, required > .crash {
                throw Failure(
                    .usage,
                    "--memory makes no freeze, so the disks alone are crash-consistent, and \(required.rawValue) is required",
                    hint: "take two: one with --memory, one without")
            }
        }
        if isInternal, noMetadata { throw apart("--internal", "--no-metadata", "it could not be found again") }
        if isInternal, diskOnly { throw apart("--internal", "--disk-only", "virsh's word for overlays") }
        if isInternal, case .specs(let specs) = wanted.selection, specs.contains(where: { $0.file != nil }) {
            throw apart("--internal", "file=", "there is no overlay")
        }
    }

    private func checked(_ wanted: SnapshotRequest) throws(Failure) -> SnapshotRequest {
        if !hooks.isEmpty, noHooks || noFreeze {
            throw Failure(.usage, "--hook and \(noHooks ? "--no-hooks" : "--no-freeze") do not go together")
        }
        try checkShape(wanted)
        if !hooks.isEmpty, shutdown != nil {
            throw Failure(.usage, "--hook and --shutdown do not go together: what is shut down needs no hook")
        }
        guard SnapshotRequest.holds.contains(wanted.maxHold) else {
            throw Failure(.usage, "--max-hold is 2s to 10m, not \(wanted.maxHold.forPeople)")
        }
        if noHooks, wanted.required == .application {
            throw Failure(.usage, "--no-hooks prepares no application, and application is required")
        }
        if noFreeze, let required = wanted.required, required > .crash {
            throw Failure(.usage, "--no-freeze gives crash consistency, and \(required.rawValue) is required")
        }
        return wanted
    }

    /// With what the configuration says of this guest; the command line goes before it.
    func complete(
        _ wanted: SnapshotRequest, for guest: GuestIdentity, in workplace: Workplace
    ) throws(Failure) -> SnapshotRequest {
        var request = wanted
        try workplace.configure(&request, for: guest, hooks: hooks)
        if let maxFreeze { request.maxFreeze = maxFreeze.duration }
        if let maxHold { request.maxHold = maxHold.duration }
        return request
    }

    /// It goes into XML, which takes neither control characters nor two that are none: libvirt would refuse it after the cut.
    private func note() throws(Failure) -> String? {
        let isText = (description ?? "").unicodeScalars.allSatisfy { scalar in
            scalar == "\n" || scalar == "\t"
                || scalar.properties.generalCategory != .control && !(0xFFFE...0xFFFF).contains(scalar.value)
        }
        guard isText else { throw Failure(.usage, "--description holds what XML does not take") }
        return description
    }

    /// The plan alone, for those who only look.
    func plan(_ guest: DomainArgument, in workplace: Workplace) async throws(Failure) -> MemberPlan {
        let wanted = try request()
        let open = try await workplace.guest(guest.reference)
        var request = try complete(wanted, for: open.identity, in: workplace)
        return try await open.planBesideOthers(&request)
    }

    /// What a virsh user may not expect.
    func remarks(_ plan: MemberPlan, _ request: SnapshotRequest) -> [String] {
        var remarks: [String] = []
        if live, request.memoryFile == nil {
            remarks.append("--live: the guest runs on anyway; memory is not part of this snapshot")
        }
        if case .specs(let specs) = request.selection, specs.allSatisfy({ $0.mode == .external }) {
            let named = Set(specs.map(\.target))
            let others = plan.disks.map(\.target).filter { !named.contains($0) }
            if !others.isEmpty {
                remarks.append(
                    "as in virsh, unlisted disks are cut too: \(others.map(\.description).joined(separator: " ")); --disk takes only those named"
                )
            }
        }
        return remarks
    }
}
