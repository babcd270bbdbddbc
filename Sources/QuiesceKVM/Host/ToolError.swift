// SPDX-License-Identifier: Apache-2.0

/// Why a host program gave no result. A status other than 0 is a result, not an error.
enum ToolError: Error, Equatable, CustomStringConvertible {
    /// Not in any folder of `Tool.searchPath`; `package` is the Debian package that brings it.
    case notFound(program: String, package: String)
    /// The kernel refused to start it, or it ended before it was ready.
    case failedToStart(program: String, reason: String)
    /// Still running at its deadline, and ended by us.
    case timedOut(program: String)
    /// It wrote more than the caller was ready to keep, in bytes, and was ended by us.
    case outputTooLarge(program: String, limit: Int)
    /// The calling task was cancelled, and the program ended by us.
    case cancelled(program: String)

    var description: String {
        switch self {
        case .notFound(let program, let package):
            "\(program): not found on this host (package \(package))"
        case .failedToStart(let program, let reason):
            "\(program): failed to start: \(reason)"
        case .timedOut(let program):
            "\(program): not done at its deadline, ended"
        case .outputTooLarge(let program, let limit):
            "\(program): wrote more than \(limit) bytes, ended"
        case .cancelled(let program):
            "\(program): cancelled, ended"
        }
    }
}
