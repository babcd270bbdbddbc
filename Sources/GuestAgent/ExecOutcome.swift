// SPDX-License-Identifier: Apache-2.0

/// What is known of a program after `GuestAgent.exec`. Only `finished` says how it ended.
public enum ExecOutcome: Sendable, Hashable {
    case finished(ExecResult)
    /// It was started and had not ended when we stopped waiting; it may still run in the guest.
    case unfinished(pid: Int, Reason)
    /// Its result cannot be had any more, or it is not known whether it started (`pid` nil). It may have done all,
    /// some or nothing, and may still run: never take this for success. The agent gives a result once; a reply that
    /// gets lost takes it along.
    case lost(pid: Int?, AgentError)

    public enum Reason: Sendable, Hashable {
        case deadline, cancelled
    }
}

/// How a program in the guest ended, and what it wrote (guest-exec-status).
public struct ExecResult: Sendable, Hashable {
    public enum Exit: Sendable, Hashable {
        case code(Int)
        case signal(Int)
    }

    public let exit: Exit
    public let stdout: ExecOutput
    public let stderr: ExecOutput

    public var succeeded: Bool { exit == .code(0) }

    /// nil while the program runs.
    init?(_ reply: ReplyField) throws(AgentError) {
        guard try reply.member("exited").bool() else { return nil }
        let code = try reply.optional("exitcode")?.integer(in: Int(Int32.min)...Int(UInt32.max))
        let signal = try reply.optional("signal")?.integer(in: 1...Int(UInt32.max))
        switch (code, signal) {
        case (let code?, nil): exit = .code(code)
        case (nil, let signal?): exit = .signal(signal)
        default: throw reply.malformed("needs an exitcode or a signal")
        }
        stdout = try ExecOutput(data: reply.optional("out-data"), truncated: reply.optional("out-truncated"))
        stderr = try ExecOutput(data: reply.optional("err-data"), truncated: reply.optional("err-truncated"))
    }
}

/// What a program wrote to one stream, at most 64 KiB of it.
public struct ExecOutput: Sendable, Hashable {
    /// Most bytes that are kept.
    public static let limit = 64 * 1024

    public let bytes: [UInt8]
    /// Whether the program wrote more than `bytes`.
    public let isTruncated: Bool

    /// The bytes as text; nil if they are not UTF-8.
    public var text: String? { String(validating: bytes, as: UTF8.self) }

    init(data: ReplyField?, truncated: ReplyField?) throws(AgentError) {
        var decoded: [UInt8] = []
        if let data {
            let text = try data.string(atMost: .max)
            guard let bytes = Base64.decode(text) else { throw data.malformed("is not base 64") }
            decoded = bytes
        }
        bytes = Array(decoded.prefix(Self.limit))
        isTruncated = try truncated?.bool() ?? false || decoded.count > Self.limit
    }
}
