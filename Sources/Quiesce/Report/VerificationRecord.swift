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

    /// `application ok, 2026-11-22 22:31:07.412 +01:00`
    public var text: String { "\(level.rawValue) \(result.rawValue), \(at.local)" }
}
