// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

/// What `commit`, `delete` and `prune` share: layers go into those below, and their snapshots with them.
protocol MergeVerb: Verb {
    static var command: CommitRun.Request.Command { get }
    var domain: String? { get }
    var wait: Span? { get }
    var dryRun: Bool { get }
    func complete(_ request: inout CommitRun.Request, in workplace: Workplace) throws(Failure)
}

extension MergeVerb {
    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let workplace = try workplace(general)
        try workplace.uri.demandLocal(for: Self.command.rawValue)
        var request = CommitRun.Request(Self.command)
        try complete(&request, in: workplace)
        let interruption = Interruption()
        let signals = Signals(interruption)
        defer { withExtendedLifetime(signals) {} }
        request.options.interruption = interruption
        let open = try await workplace.guest(demanded(domain))
        let progress = Progress(open.identity.name, general)
        let report = try await report(of: try open.merge { progress.hear($0) }, request, on: open)
        progress.clear()
        try output.result(report) { report.text($0) }
        return .reached
    }

    private func report(
        of merge: CommitRun, _ request: CommitRun.Request, on open: OpenGuest
    ) async throws(Failure) -> CommitReport {
        if dryRun { return try await merge.plan(request).report(Self.command) }
        let run = RunID.random()
        return try await open.held(
            for: Self.command.rawValue, by: run, waiting: wait?.duration ?? .zero,
            interruption: request.options.interruption ?? Interruption()
        ) { _ throws(Failure) in
            try await merge.execute(try await merge.plan(request), request, as: run)
        }
    }
}
