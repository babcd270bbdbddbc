// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Begin: RunVerb {
    static let configuration = CommandConfiguration(
        commandName: "begin",
        abstract: "Snapshot, show the frozen disks, and return: for jobs of two steps.",
        discussion: """
            Nothing stays frozen. The disks are shown until end, at the latest until --ttl is over. Called again with the same \
            label while that is open it gives the same answer.
            """)
    static let word = "begin"

    @ParentCommand var parent: Stillpoint
    @OptionGroup var guest: DomainArgument
    @OptionGroup var options: SnapshotOptions
    @Flag(help: "Hand over the image files themselves, not flat files.") var images = false
    @Option(help: "By which end finds it: 1 to 128 characters.") var label: String?
    @Option(help: "After which it ends by itself; default 12h.") var ttl: Span?
    @Option(name: .customLong("output"), help: "env: STILLPOINT_…='…' lines for eval; or json.") var outputShape:
        OutputShape?
    @Option(help: "How long to wait for another run on this guest; default not at all.") var wait: Span?
    @Flag(help: "Print the plan and change nothing.") var dryRun = false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output(outputShape) }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let label = try label.map(checkedLabel)
        let limit = ttl?.duration ?? .seconds(12 * 3600)
        guard limit >= .seconds(1) else { throw Failure(.usage, "--ttl is 1s or more") }
        let interruption = Interruption()
        let signals = Signals(interruption)
        defer { withExtendedLifetime(signals) {} }
        var call = try await call(general, interruption)
        if dryRun { return try await call.showPlan(output) }
        let way: SnapshotUse.Way = images ? .images : .fuse
        try call.demandExports(way)
        await call.endOverdue()
        let until = call.startedAt.adding(milliseconds: limit.inMilliseconds)
        let answer = try await call.begin(way, label: label, until: until)
        call.progress.clear()
        switch answer {
        case .nothing(let report):
            try output.result(report, environment: report.environment) { report.text($0) }
            return report.conclude()
        case .begun(let handover):
            try output.result(handover, environment: handover.environment) { handover.text($0) }
            return handover.run.conclude()
        }
    }
}

func checkedLabel(_ text: String) throws(Failure) -> String {
    let isText = text.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
    guard (1...128).contains(text.count), isText else {
        throw Failure(.usage, "--label is 1 to 128 characters, none of them a control character")
    }
    return text
}

extension SnapshotCall {
    enum Begun {
        case begun(HandoverReport)
        /// The run came to nothing that can be handed over.
        case nothing(RunReport)
    }

    private enum Answer {
        case known(HandoverReport)
        case new(RunReport, Result<ImageExport, Failure>?)
    }

    func begin(
        _ way: SnapshotUse.Way, label: String?, until: Timestamp
    ) async throws(Failure) -> Begun {
        let open = open
        let answer = try await held { call, lock throws(Failure) -> Answer in
            // Looked for under the lock: of two that begin at once the second finds the first one's.
            if let use = try await open.begun(label) {
                call.progress.note("\(use.snapshot) was \(use.words): taken up again")
                try call.demand(try await call.workplace.manifest(of: open.identity, use.run.description), of: use)
                return .known(try await open.takeUp(use))
            }
            let (report, export) = try await call.handOver(
                holding: lock, as: .begin, way, label: label, until: until)
            return .new(report, export)
        }
        let (report, result): (RunReport, Result<ImageExport, Failure>?)
        switch answer {
        case .known(let handover): return .begun(handover)
        case .new(let taken, let opened): (report, result) = (taken, opened)
        }
        guard let export = try await kept(report, result) else { return .nothing(report) }
        do throws(Failure) { try await export.leave() } catch {
            progress.note("\(error.message); taking the snapshot back")
            _ = try await end(export.use)
            throw error
        }
        if let problem = await open.limit(export.use) {
            progress.note("\(problem): it ends at the next command after \(until.local)")
        }
        return .begun(
            HandoverReport(
                report, manifest: open.manifestPath(of: run), use: export.use, disks: export.disks))
    }

    /// What was begun before has to be what is asked for now.
    private func demand(_ report: RunReport, of use: SnapshotUse) throws(Failure) {
        let reached = report.verdict.consistency
        if let required = request.required, reached < required {
            throw Failure(
                .refused,
                "\(use.snapshot) was \(use.words) before, and reached \(reached.rawValue): \(required.rawValue) is required now",
                hint: use.remedy)
        }
        guard case .only(let wanted) = request.selection else { return }
        let disks = try report.snapshot(of: open.identity).snapshot.disks
        if let target = wanted.first(where: { target in !disks.contains { $0.target == target } }) {
            throw Failure(
                .refused, "\(use.snapshot) was \(use.words) before, without \(target), which is asked for now",
                hint: use.remedy)
        }
    }
}
