// SPDX-License-Identifier: Apache-2.0

/// `jobs`' result.
public struct JobsReport: Codable, Sendable {
    public var schema = "stillpoint.jobs/v1"
    public var domain: GuestIdentity
    public var jobs: [StatusReport.Job]
    public var cancelled: Bool
    /// With `--cancel --dry-run`: nothing was cancelled.
    public var isDryRun: Bool

    public init(domain: GuestIdentity, jobs: [StatusReport.Job], cancelled: Bool, isDryRun: Bool = false) {
        self.domain = domain
        self.jobs = jobs
        self.cancelled = cancelled
        self.isDryRun = isDryRun
    }

    public func text(_ ink: Ink = .plain) -> String {
        guard !jobs.isEmpty else { return "no block job on \(domain.name)\n" }
        let word =
            isDryRun
            ? "would be cancelled, the overlay would stay" : cancelled ? "cancelled, the overlay stays" : "running"
        return jobs.map { "\($0.target)   \($0.kind)   \($0.progress)   \(word)\n" }.joined()
    }
}

extension StatusReport.Job {
    var progress: String { "\(ByteCount(Int64(clamping: done))) of \(ByteCount(Int64(clamping: total)))" }
}

extension CommitReport {
    public func text(_ ink: Ink = .plain) -> String {
        var page = Page(label: 12)
        let all = snapshots + abandoned
        let what = all.isEmpty ? (disks.isEmpty ? "what reverts left" : "overlays") : all.joined(separator: " ")
        let verb = disks.isEmpty ? "removed" : "merged"
        let time = Duration.milliseconds(tookMs).forPeople
        guard !all.isEmpty || !removed.isEmpty else {
            page.line(ink.bold("\(domain.name)   nothing \(isDryRun ? "would go" : "was to go")"))
            page.rows("kept", kept.map { "\($0.name): \($0.reason)" })
            return page.text
        }
        page.line(ink.bold("\(domain.name)   \(what) \(isDryRun ? "would be \(verb)" : "\(verb) in \(time)")"))
        page.gap()
        page.rows("disks", disks.map { "\($0.target.description.padded(to: 6)) \($0.top)  →  \($0.base)" })
        page.rows(isDryRun ? "would go" : "removed", removed)
        page.rows("kept", kept.map { "\($0.name): \($0.reason)" })
        return page.text
    }
}

extension CommitPlan {
    /// - Parameter time: nil for `--dry-run`.
    public func report(_ command: CommitRun.Request.Command, took time: Duration? = nil) -> CommitReport {
        CommitReport(
            schema: "stillpoint.\(command.rawValue)/v1", domain: guest, snapshots: finished.map(\.name),
            abandoned: lost.map(\.name), kept: kept,
            disks: steps.map(\.merge), removed: removed, tookMs: time?.inMilliseconds ?? 0, isDryRun: time == nil)
    }
}

extension CatalogueEntry.Fate {
    /// Above a report that is read again: what has become of the snapshot since; empty while it is as it was.
    public func text(_ ink: Ink = .plain) -> String {
        let word =
            switch self {
            case .kept: ""
            case .merging: "half merged since: it can be merged to its end, not gone back to"
            case .committed: "history: its layers have been merged since, there is nothing to go back to"
            case .undone: "history: it was undone"
            case .abandoned: "left behind by a revert, which can be taken back"
            case .removed: "history: its layers have been removed since"
            }
        return word.isEmpty ? "" : ink.bold(word) + "\n\n"
    }
}

extension FreezeReport {
    public func text(_ ink: Ink = .plain) -> String {
        """
        \(ink.bold("\(domain.name)   \(frozen.of("filesystem")) frozen*, until \(until.local) at the latest"))
          thaw before:   stillpoint thaw \(domain.name)
          * as reported by the guest

        """
    }
}

extension ThawReport {
    public func text(_ ink: Ink = .plain) -> String {
        switch would {
        case .ours?: return "\(domain.name)   what we froze would be thawed\n"
        case .foreign?: return "\(domain.name)   whatever is frozen would be thawed, whoever froze it\n"
        case nil: break
        }
        guard let thawed else { return "\(domain.name)   nothing was frozen\n" }
        let verdict =
            switch held {
            case true?: ", the freeze held until now"
            case false?: ": the freeze did not hold until now"
            case nil: ""
            }
        return "\(domain.name)   \(thawed.of("filesystem")) thawed, as reported by the guest\(verdict)\n"
    }
}
