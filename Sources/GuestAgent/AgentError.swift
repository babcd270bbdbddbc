// SPDX-License-Identifier: Apache-2.0

/// Why an agent command has no usable answer.
public struct AgentError: Error, Hashable {
    public enum Kind: Sendable, Hashable {
        /// We refused to send it: too large, malformed, or too late.
        case notSent(String)
        /// No agent holds the channel's port open in the guest.
        case notConnected
        /// The guest is off, paused or crashed.
        case domainNotRunning
        /// The agent does not know the command, or its configuration or its frozen state forbids it.
        case commandDisabled
        /// The hypervisor's access control forbids the call.
        case permissionDenied
        /// Another call held the guest's agent job until libvirt gave up waiting (30 s).
        case busy
        /// The agent carried the command out and says that it failed.
        case refused(class: String, description: String)
        /// No answer in time. libvirt before 11.2 does not say whether it was the sync, so nothing was sent, or the
        /// command, so it may still run.
        case unresponsive
        /// The command was sent and was not answered in time; it may still run.
        case timedOut
        /// The agent closed its port while the command was out.
        case disconnected
        /// libvirt gave the channel up ("not available due to an error") until the guest reopens its port.
        case channelBroken
        /// The reply is not the one this command has.
        case malformedReply(String)
        /// The hypervisor failed the call for another reason, or its connection was lost.
        case hypervisorFailed
    }

    public var kind: Kind
    /// What the hypervisor or the agent said, unescaped; it may be the guest's text.
    public var detail: String?
    /// The agent's command, such as `guest-fsfreeze-thaw`.
    public var command: String?

    public init(_ kind: Kind, detail: String? = nil, command: String? = nil) {
        self.kind = kind
        self.detail = detail
        self.command = command
    }

    /// Whether the guest may have carried the command out, or may yet do so. False is certain, true is not.
    ///
    /// A refusal counts: a freeze that failed half-way has run.
    public var mayHaveRun: Bool {
        switch kind {
        case .notSent, .notConnected, .domainNotRunning, .commandDisabled, .permissionDenied, .busy: false
        case .refused, .unresponsive, .timedOut, .disconnected, .channelBroken, .malformedReply, .hypervisorFailed: true
        }
    }
}

extension AgentError: CustomStringConvertible {
    /// One line without raw text from the guest.
    public var description: String {
        let told = detail.map { ": " + $0.printable(limit: 1024) } ?? ""
        return "\(command ?? "guest agent"): \(reason)\(told)"
    }

    private var reason: String {
        switch kind {
        case .notSent(let why): "not sent, \(why)"
        case .notConnected: "no agent is connected"
        case .domainNotRunning: "guest is not running"
        case .commandDisabled: "agent does not allow it"
        case .permissionDenied: "not permitted"
        case .busy: "another call holds the agent"
        case .refused(let kind, let text): "agent refused, \(kind.printable(limit: 64)): \(text.printable(limit: 1024))"
        case .unresponsive: "agent does not respond, the command may still run"
        case .timedOut: "no answer in time, the command may still run"
        case .disconnected: "agent closed its channel, the command may have run"
        case .channelBroken: "channel is broken until the agent restarts, the command may have run"
        case .malformedReply(let why): "malformed reply, \(why)"
        case .hypervisorFailed: "hypervisor failed the call"
        }
    }
}
