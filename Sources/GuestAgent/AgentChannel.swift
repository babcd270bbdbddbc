// SPDX-License-Identifier: Apache-2.0

/// A guest's agent channel: one request, its one reply.
///
/// An adapter turns its own errors into `AgentError`; it need not fill in `command`.
public protocol AgentChannel: Sendable {
    /// Sends one line of JSON and gives the agent's whole reply, `{"return": …}` or `{"error": …}`.
    ///
    /// `timeout` is in whole seconds, 1 to 3600, as virDomainQemuAgentCommand wants it. It bounds the agent's answer
    /// alone; libvirt may wait 30 s for its turn and 5 s for the agent's sync before.
    func exchange(_ request: String, timeout: Duration) async throws(AgentError) -> String
}
