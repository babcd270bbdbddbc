// SPDX-License-Identifier: Apache-2.0
import JSON

/// A guest's QEMU guest agent: its commands as functions, its replies as values that were checked.
///
/// All that comes back is the guest's claim, not proof; show its text through `printable`. Every call has a timeout,
/// and none may run beside another on the same guest.
public struct GuestAgent: Sendable {
    /// The longest request, in bytes: 180 KiB in one call wedged an agent (measured, 7.2).
    static let longestRequest = 120 * 1024

    private let channel: any AgentChannel
    /// For the calls that name none.
    let timeout: Duration

    public init(channel: any AgentChannel, timeout: Duration = .seconds(5)) {
        self.channel = channel
        self.timeout = timeout
    }

    /// Returns if the agent answers (guest-ping).
    public func ping() async throws(AgentError) {
        try await ask("guest-ping") { reply throws(AgentError) in _ = try reply.object() }
    }

    /// The agent's version and commands (guest-info).
    public func info() async throws(AgentError) -> AgentInfo {
        try await ask("guest-info") { reply throws(AgentError) in try AgentInfo(reply) }
    }

    /// The guest's operating system (guest-get-osinfo).
    public func osInfo() async throws(AgentError) -> OSInfo {
        try await ask("guest-get-osinfo") { reply throws(AgentError) in try OSInfo(reply) }
    }

    /// The mounted local filesystems and their disks, in no promised order (guest-get-fsinfo). One filesystem mounted
    /// at two places is listed twice. What has no block device, such as ZFS or NFS, is not listed.
    public func filesystems() async throws(AgentError) -> [GuestFilesystem] {
        try await ask("guest-get-fsinfo") { reply throws(AgentError) in
            var filesystems: [GuestFilesystem] = []
            for field in try reply.elements() { filesystems.append(try GuestFilesystem(field)) }
            return filesystems
        }
    }

    /// The guest's clock, as the time since 1970-01-01 UTC (guest-get-time). Refused while frozen.
    public func time() async throws(AgentError) -> Duration {
        try await ask("guest-get-time") { reply throws(AgentError) in .nanoseconds(try reply.integer(in: 0...Int.max)) }
    }

    /// Sends one command, reads its reply, and names the command in each error.
    func ask<Answer>(
        _ command: String, _ arguments: JSONObject = [:], timeout: Duration? = nil,
        read: (ReplyField) throws(AgentError) -> Answer
    ) async throws(AgentError) -> Answer {
        do throws(AgentError) {
            let request = try Self.request(command, arguments)
            let reply = try await channel.exchange(request, timeout: Self.wholeSeconds(timeout ?? self.timeout))
            return try read(ReplyField(reply: reply))
        } catch {
            throw AgentError(error.kind, detail: error.detail, command: command)
        }
    }

    private static func request(_ command: String, _ arguments: JSONObject) throws(AgentError) -> String {
        var request: JSONObject = ["execute": .string(command)]
        if !arguments.isEmpty { request["arguments"] = .object(arguments) }
        let text: String
        do { text = try JSONValue.object(request).text() } catch { throw AgentError(.notSent("\(error)")) }
        guard text.utf8.count <= longestRequest else {
            throw AgentError(.notSent("\(text.utf8.count) bytes are more than the \(longestRequest) of a request"))
        }
        return text
    }

    /// Rounded down, because a freeze must not outlast its limit; at least 1 s and at most an hour.
    private static func wholeSeconds(_ timeout: Duration) -> Duration {
        .seconds(min(max(timeout.components.seconds, 1), 3600))
    }
}
