// SPDX-License-Identifier: Apache-2.0

/// A failure as `error` of the one JSON object on stdout, the same for every command.
public struct Cause: Codable, Sendable, Hashable {
    /// The exit status.
    public var code: Int32
    public var message: String
    /// What to do, perhaps on several lines.
    public var hint: String?

    public init(_ failure: Failure) {
        code = failure.status.rawValue
        message = failure.message
        hint = failure.hint
    }
}
