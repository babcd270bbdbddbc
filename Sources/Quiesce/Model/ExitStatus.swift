// SPDX-License-Identifier: Apache-2.0

/// The published exit codes. Scripts depend on the numbers: they never change their meaning.
public enum ExitStatus: Int32, Codable, Sendable, CaseIterable {
    case reached = 0
    case filesystemOnly = 10
    case crashOnly = 11
    case requiredLevelMissed = 12
    case refused = 20
    case freezeFailed = 21
    case snapshotFailed = 22
    case releaseFailed = 23
    case verificationFailed = 24
    case quarantined = 25
    case maybeFrozen = 30
    /// `run`'s own command.
    case commandFailed = 40
    case usage = 64
    case noSuchThing = 66
    case unreachable = 69
    case internalError = 70
    case busy = 75
    case notPermitted = 77
    case configuration = 78
    case notExecutable = 126
    case notFound = 127
    case hungUp = 129
    case interrupted = 130
    case terminated = 143
}

/// Why something could not be done: who and what and why in one line, what to do in another.
public struct Failure: Error, Sendable, Hashable, CustomStringConvertible {
    public var status: ExitStatus
    public var message: String
    public var hint: String?

    public init(_ status: ExitStatus, _ message: String, hint: String? = nil) {
        self.status = status
        self.message = message
        self.hint = hint
    }

    public var description: String { message }
}
