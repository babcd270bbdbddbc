// SPDX-License-Identifier: Apache-2.0

import CLibvirt

/// A libvirt call that failed, as libvirt itself tells it (`virGetLastError`, read right after the call on its thread).
public struct LibvirtError: Error, Sendable, Equatable {
    /// What went wrong.
    public let code: Code
    /// The part of libvirt that noticed (`virErrorDomain`), 0 if none is named.
    public let domain: Int
    /// 1 a warning, 2 an error (`virErrorLevel`).
    public let level: Int
    /// libvirt's words, unchanged. They can quote the guest: do not send them to a terminal, `description` is fit for
    /// that.
    public let message: String
    /// The C function that failed.
    public let call: String

    /// An error libvirt did not report itself; `message` is ours.
    init(code: Code, domain: Int = 0, message: String, call: String) {
        self.init(code: code, domain: domain, level: Int(VIR_ERR_ERROR.rawValue), message: message, call: call)
    }

    private init(code: Code, domain: Int, level: Int, message: String, call: String) {
        self.code = code
        self.domain = domain
        self.level = level
        self.message = message
        self.call = call
    }

    /// The conversation with the daemon broke down or never began, by libvirt's own client; false where the daemon
    /// answered with this error. The code does not tell: a closed socket is an internal error, a lost one a system error.
    public var isOfConnection: Bool {
        [Int(VIR_FROM_RPC.rawValue), Int(VIR_FROM_REMOTE.rawValue)].contains(domain)
            || [.noConnect, .rpc, .invalidConnection].contains(code)
    }

    /// The calling thread's last error without its words.
    static func lastCode() -> (code: Code, isOfConnection: Bool) {
        guard let last = virGetLastError()?.pointee else { return (.ok, false) }
        let isOfConnection = last.domain == CInt(VIR_FROM_RPC.rawValue) || last.domain == CInt(VIR_FROM_REMOTE.rawValue)
        return (Code(rawValue: last.code), isOfConnection)
    }

    /// The calling thread's last error.
    static func last(after call: String) -> LibvirtError {
        guard let last = virGetLastError()?.pointee else {
            return LibvirtError(code: .ok, message: "failed and gave no reason", call: call)
        }
        return LibvirtError(
            code: Code(rawValue: last.code),
            domain: Int(last.domain),
            level: Int(last.level.rawValue),
            message: last.message.map { String(cString: $0) } ?? "no message",
            call: call)
    }
}

extension LibvirtError: CustomStringConvertible {
    /// One line, fit for a terminal: the message without control and direction characters, the C function, the code.
    public var description: String {
        var line = String.UnicodeScalarView()
        for scalar in message.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: line.append(" ")
            default: line.append(scalar)
            }
        }
        return "\(String(line)) (\(call), libvirt error \(code.rawValue))"
    }
}
