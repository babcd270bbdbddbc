// SPDX-License-Identifier: Apache-2.0

/// `jobs`' result.
public struct JobsReport: Codable, Sendable {
    public var schema = "stillpoint.jobs/v1"
    public var domain: GuestIdentity
    public var jobs: [StatusReport.Job]
    public var cancelled: Bool

    public init(domain: GuestIdentity, jobs: [StatusReport.Job], cancelled: Bool) {
        self.domain = domain
        self.jobs = jobs
        self.cancelled = cancelled
    }

    public func text(_ ink: Ink = .plain) -> String {
        guard !jobs.isEmpty else { return "no block job on \(domain.name)\n" }
        let word = cancelled ? "cancelled, the overlay stays" : "running"
        return jobs.map { "\($0.target)   \($0.kind)   \($0.progress)   \(word)\n" }.joined()
    }
}

extension StatusReport.Job {
    var progress: String { "\(ByteCount(Int64(clamping: done))) of \(ByteCount(Int64(clamping: total)))" }
}

extension CommitReport {
    public func text(_ ink: Ink = .plain) -> String {
        var page = Page(label: 12)
        let what = snapshots.isEmpty ? "overlays" : snapshots.joined(separator: " ")
        let time = Duration.milliseconds(tookMs).forPeople
        page.line(ink.bold("\(domain.name)   \(what) \(isDryRun ? "would be merged" : "merged in \(time)")"))
        page.gap()
        page.rows("disks", disks.map { "\($0.target.description.padded(to: 6)) \($0.top)  →  \($0.base)" })
        page.rows(isDryRun ? "would go" : "removed", removed)
        return page.text
    }
}

extension CommitPlan {
    /// What `--dry-run` prints.
    public func report(for guest: GuestIdentity) -> CommitReport {
        CommitReport(
            domain: guest, snapshots: finished.map(\.name), disks: merges, removed: merged, tookMs: 0, isDryRun: true)
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
