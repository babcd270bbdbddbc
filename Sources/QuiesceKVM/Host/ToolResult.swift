// SPDX-License-Identifier: Apache-2.0

import Subprocess

/// What a host program left: how it ended and what it wrote.
struct ToolResult: Sendable {
    enum Status: Sendable, Equatable {
        case exited(Int32)
        case signalled(Int32)
    }

    var status: Status
    var output: [UInt8]
    var errors: [UInt8]

    var succeeded: Bool { status == .exited(0) }

    /// One line that says what went wrong: the last line of standard error, else how it ended.
    var reason: String { Self.lastLine(of: errors) ?? "\(status)" }

    /// The last line with anything in it, fit for a terminal: what is not printable ASCII is `?`, at most 200 characters.
    /// Programs quote what they find on a guest's disk, so their words are not to be trusted raw.
    static func lastLine(of bytes: [UInt8]) -> String? {
        bytes.split(whereSeparator: { $0 == 0x0A || $0 == 0x0D }).map(printable).last { !$0.isEmpty }
    }

    static func printable(_ bytes: some Sequence<UInt8>) -> String {
        let shown = bytes.prefix(200).map { (0x20...0x7E).contains($0) ? $0 : UInt8(ascii: "?") }
        return String(decoding: shown.drop { $0 == 0x20 }, as: UTF8.self)
    }
}

extension ToolResult.Status: CustomStringConvertible {
    init(_ status: TerminationStatus) {
        switch status {
        case .exited(let code): self = .exited(code)
        case .signaled(let signal): self = .signalled(signal)
        }
    }

    var description: String {
        switch self {
        case .exited(let code): "exit status \(code)"
        case .signalled(let signal): "ended by signal \(signal)"
        }
    }
}
