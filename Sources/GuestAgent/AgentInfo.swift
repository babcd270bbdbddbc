// SPDX-License-Identifier: Apache-2.0

/// The agent's version and what it can do (guest-info).
public struct AgentInfo: Sendable, Hashable {
    public let version: String
    /// Each command that the agent knows, and whether it is enabled now.
    public let commands: [String: Bool]

    /// Whether the agent knows the command and has it enabled now; while frozen it disables nearly all.
    public func allows(_ command: String) -> Bool { commands[command] ?? false }

    init(_ reply: ReplyField) throws(AgentError) {
        version = try reply.member("version").string()
        var commands: [String: Bool] = [:]
        for field in try reply.member("supported_commands").elements() {
            let name = try field.member("name").string()
            let isEnabled = try field.member("enabled").bool()
            guard commands.updateValue(isEnabled, forKey: name) == nil else { throw field.malformed("is listed twice") }
        }
        self.commands = commands
    }
}
