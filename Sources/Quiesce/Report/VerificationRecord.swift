// SPDX-License-Identifier: Apache-2.0

/// One verification of a snapshot, as the catalogue keeps it.
public struct VerificationRecord: Codable, Sendable, Hashable {
    public var at: Timestamp
    /// As far as it was asked to go.
    public var level: VerificationLevel
    public var result: Check.Result
    public var detail: String
    /// Of the clone; nil where none was started or answered.
    public var bootMs: Int64?
    public var recoveryMs: Int64?

    public init(
        at: Timestamp, level: VerificationLevel, result: Check.Result, detail: String, bootMs: Int64? = nil,
        recoveryMs: Int64? = nil
    ) {
        self.at = at
        self.level = level
        self.result = result
        self.detail = detail
        self.bootMs = bootMs
        self.recoveryMs = recoveryMs
    }

    /// What a report comes to.
    ///
    /// - Parameter level: as it was asked for; nil for what the snapshot claims.
    public init(_ report: VerificationReport, asked level: VerificationLevel?, at time: Timestamp) {
        let level = level ?? (report.consistency >= .filesystem ? .filesystem : .chain)
        let check =
            switch level {
            case .chain: report.chain
            case .filesystem: report.filesystem
            case .application: report.application
            }
        self.init(
            at: time, level: level, result: report.failure == nil ? check.result : .failed,
            detail: report.failure ?? check.detail, bootMs: report.clone?.bootMs, recoveryMs: report.clone?.recoveryMs)
    }
}

extension [VerificationRecord] {
    /// A snapshot's history, a line each; empty where there is none.
    public func text(_ ink: Ink = .plain) -> String {
        guard !isEmpty else { return "" }
        var page = Page(label: 12)
        page.gap()
        var table = Table()
        for record in self {
            let recovery = record.recoveryMs.map { "recovered in \(Duration.milliseconds($0).forPeople)" }
            table.add([
                record.at.local, "\(record.level.rawValue) \(record.result.rawValue)", recovery ?? record.detail,
            ])
        }
        page.rows("verified", table.rows)
        return page.text
    }
}

extension RunReport {
    /// The manifest is older than what a clone showed later.
    public mutating func learn(_ history: [VerificationRecord], of guest: GuestIdentity) {
        guard let last = history.last(where: { $0.level == .application }),
            let index = members.firstIndex(where: { $0.domain.uuid == guest.uuid })
        else { return }
        members[index].verification.application = Check(last.result, last.detail)
    }
}
