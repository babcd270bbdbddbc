// SPDX-License-Identifier: Apache-2.0

/// How good a snapshot's point in time is. Ordered: each level includes the ones before it.
public enum Consistency: String, Codable, Sendable, CaseIterable, Comparable {
    /// No usable point in time.
    case none
    /// All chosen disks cut in one QEMU transaction, nothing more.
    case crash
    /// Every writable local filesystem on the chosen disks was frozen when the cut was made.
    case filesystem
    /// `filesystem`, and every required application was prepared as its maker documents it.
    case application

    public static func < (one: Consistency, other: Consistency) -> Bool { one.rank < other.rank }

    private var rank: Int {
        switch self {
        case .none: 0
        case .crash: 1
        case .filesystem: 2
        case .application: 3
        }
    }
}

/// The level a run reached, decided after the thaw, and why it is not higher: first what decided it.
public struct Verdict: Codable, Sendable, Hashable {
    public var consistency: Consistency
    public var reasons: [String]

    public init(consistency: Consistency, reasons: [String] = []) {
        self.consistency = consistency
        self.reasons = reasons
    }

    /// Lowers the level, never raises it, and keeps every reason.
    public mutating func lower(to level: Consistency, because reason: String) {
        reasons.append(reason)
        guard level < consistency else { return }
        consistency = level
        lead(with: reason)
    }

    /// There is no usable point in time, and this is told first.
    public mutating func void(because reason: String) {
        consistency = .none
        lead(with: reason)
    }

    /// This of all reasons is told first.
    public mutating func lead(with reason: String) {
        reasons.removeAll { $0 == reason }
        reasons.insert(reason, at: 0)
    }
}
