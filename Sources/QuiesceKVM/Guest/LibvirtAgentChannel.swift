// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Libvirt
import Quiesce

/// The guest agent's channel through libvirt's passthrough, which alone has a timeout for each call.
///
/// virDomainFSFreeze and virDomainFSThaw block for ever, and virDomainAgentSetResponseTimeout would change the domain
/// for everybody. The price: libvirt marks the domain as tainted (`custom-ga-command`) and asks for `domain:write`.
struct LibvirtAgentChannel: AgentChannel {
    let guest: LibvirtGuest

    func exchange(_ request: String, timeout: Duration) async throws(AgentError) -> String {
        let seconds = Int(clamping: timeout.components.seconds)
        do throws(LibvirtError) {
            return try await guest.call { domain throws(LibvirtError) in
                try domain.agentCommand(request, timeoutSeconds: seconds)
            }
        } catch {
            throw AgentError(error)
        }
    }
}

extension AgentError {
    /// libvirt before 11.2 has one code for an agent that is not there, one that is slow and one whose channel broke;
    /// only the text tells them apart.
    init(_ error: LibvirtError) {
        let text = error.message
        let kind: Kind
        switch error.code {
        case .agentUnresponsive where text.contains("not connected"), .argumentUnsupported: kind = .notConnected
        case .agentUnresponsive where text.contains("due to an error"): kind = .channelBroken
        case .agentUnresponsive where text.contains("disappeared"): kind = .disconnected
        case .agentUnresponsive, .agentUnsynced: kind = .unresponsive
        case .agentCommandTimeout: kind = .timedOut
        case .operationInvalid: kind = .domainNotRunning
        case .operationTimeout, .resourceBusy: kind = .busy
        case .operationDenied, .accessDenied: kind = .permissionDenied
        case .internalError where Self.saysDisabled(text), .agentCommandFailed where Self.saysDisabled(text):
            kind = .commandDisabled
        case .internalError where text.contains("unable to execute QEMU agent command"), .agentCommandFailed:
            kind = .refused(class: "GenericError", description: text)
        default: kind = .hypervisorFailed
        }
        if case .refused = kind { self.init(kind) } else { self.init(kind, detail: text) }
    }

    private static func saysDisabled(_ text: String) -> Bool {
        text.contains("has been disabled") || text.contains("has not been found")
    }
}

extension GuestFailure {
    init(_ error: AgentError) {
        let kind: Kind
        switch error.kind {
        case .commandDisabled where error.detail?.contains("frozen") == true: kind = .alreadyFrozen
        case .refused, .commandDisabled, .permissionDenied, .notSent: kind = .refused
        case .notConnected, .domainNotRunning: kind = .notConnected
        case .busy: kind = .busy
        case .unresponsive, .timedOut, .disconnected, .channelBroken: kind = .timedOut
        case .malformedReply: kind = .malformed
        case .hypervisorFailed: kind = .unreachable
        }
        self.init(kind, error.description)
    }
}
