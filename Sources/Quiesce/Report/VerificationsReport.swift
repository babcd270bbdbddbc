// SPDX-License-Identifier: Apache-2.0

/// `verify --all`'s result.
public struct VerificationsReport: Codable, Sendable {
    /// One that could not even be begun.
    public struct Missed: Codable, Sendable {
        public var domain: String
        public var snapshot: String
        public var error: Cause
    }

    public var schema = "stillpoint.verifications/v1"
    public var verified: [VerificationReport] = []
    public var missed: [Missed] = []
    /// Verified lately enough.
    public var notDue: Int

    public init(notDue: Int) { self.notDue = notDue }

    public mutating func add(_ failure: Failure, for entry: CatalogueEntry) {
        missed.append(Missed(domain: entry.guest.name, snapshot: entry.name, error: Cause(failure)))
    }

    /// The worst of all.
    public func status(asked level: VerificationLevel?) -> ExitStatus {
        let all = verified.map { $0.status(asked: level) }
        if all.contains(.verificationFailed) { return .verificationFailed }
        if let missed = missed.first { return ExitStatus(rawValue: missed.error.code) ?? .internalError }
        return all.max { $0.rawValue < $1.rawValue } ?? .reached
    }

    /// The first thing that is not well.
    public func cause(asked level: VerificationLevel?) -> String? {
        let failed = verified.lazy.compactMap { report in
            report.failure.map { "\(report.domain.name) \(report.snapshot): \($0)" }
        }.first
        let blind = verified.lazy.compactMap { report in
            report.missed(asked: level).map { "\(report.domain.name) \(report.snapshot): \($0)" }
        }.first
        return failed ?? missed.first.map { "\($0.domain) \($0.snapshot): \($0.error.message)" } ?? blind
    }

    public func text(_ ink: Ink = .plain) -> String {
        var table = Table()
        table.add(["DOMAIN", "NAME", "CHAIN", "FILESYSTEM", "APPLICATION", ""])
        for report in verified {
            table.add([
                report.domain.name, report.snapshot, report.chain.result.rawValue, report.filesystem.result.rawValue,
                report.application.result.rawValue,
                report.failure ?? report.clone.map { _ in report.application.detail } ?? "",
            ])
        }
        for one in missed { table.add([one.domain, one.snapshot, "-", "-", "-", one.error.message]) }
        let rest = notDue == 0 ? "" : "\(notDue.of("snapshot")) verified lately enough\n"
        guard !(verified.isEmpty && missed.isEmpty) else { return rest.isEmpty ? "no snapshots\n" : rest }
        return table.rows.map { $0 + "\n" }.joined() + rest
    }
}
