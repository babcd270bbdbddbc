// SPDX-License-Identifier: Apache-2.0
import GuestAgent
import JSON

/// A channel that plays replies in order and remembers what it heard. After the last one it is not connected.
actor ScriptedChannel: AgentChannel {
    enum Line: Sendable {
        case reply(String)
        case failure(AgentError.Kind)
    }

    private(set) var heard: [String] = []
    private(set) var timeouts: [Duration] = []
    private var script: [Line]

    init(_ script: [Line]) { self.script = script }

    init(_ replies: String...) { script = replies.map(Line.reply) }

    func exchange(_ request: String, timeout: Duration) async throws(AgentError) -> String {
        heard.append(request)
        timeouts.append(timeout)
        guard !script.isEmpty else { throw AgentError(.notConnected, detail: "the script is over") }
        switch script.removeFirst() {
        case .reply(let reply): return reply
        case .failure(let kind): throw AgentError(kind)
        }
    }

    /// The commands in the order in which they were heard.
    func commands() -> [String] {
        heard.map { (try? JSONValue(parsing: $0))?["execute"]?.string ?? "not a command: \($0)" }
    }
}
