// SPDX-License-Identifier: Apache-2.0
import JSON

/// What the agent believes (guest-fsfreeze-status).
public enum FreezeStatus: String, Sendable {
    case frozen, thawed
}

extension GuestAgent {
    /// Most filesystems that a count is believed for.
    private static let counts = 0...4096

    /// What the agent believes, which can be wrong (measured): after a filesystem was thawed behind its back it still
    /// says frozen, and while only another's freeze stands it says thawed. The evidence is `thaw`'s count.
    public func freezeStatus() async throws(AgentError) -> FreezeStatus {
        try await ask("guest-fsfreeze-status") { reply throws(AgentError) in
            guard let status = FreezeStatus(rawValue: try reply.string()) else {
                throw reply.malformed("is neither frozen nor thawed")
            }
            return status
        }
    }

    /// Freezes the filesystems mounted there and returns how many were frozen (guest-fsfreeze-freeze-list), 0 to 4096.
    ///
    /// Mount points that the agent does not know are ignored, and so are filesystems that cannot freeze or that
    /// another has frozen: compare the count with what you expect. The agent runs its own freeze hook first.
    /// An error, a timeout above all, says nothing about the guest unless `mayHaveRun` is false: the freeze may be
    /// complete, half-way, or still to come. Thaw then, whatever the error.
    public func freeze(mountpoints: [String], timeout: Duration) async throws(AgentError) -> Int {
        // With an empty list the agent would run its freeze hook, freeze nothing, and never run the thaw hook.
        guard !mountpoints.isEmpty else {
            throw AgentError(.notSent("no mount points"), command: "guest-fsfreeze-freeze-list")
        }
        let arguments: JSONObject = ["mountpoints": .array(mountpoints.map(JSONValue.string))]
        return try await ask("guest-fsfreeze-freeze-list", arguments, timeout: timeout) { reply throws(AgentError) in
            try reply.integer(in: Self.counts)
        }
    }

    /// Thaws all filesystems and returns how many were frozen until now (guest-fsfreeze-thaw), 0 to 4096. Safe when
    /// nothing is frozen.
    ///
    /// More than was frozen: another's freeze was undone too. Fewer: one was thawed before, or its mount point is out
    /// of reach and it is still frozen. After an error or a timeout nothing is known; send it again.
    public func thaw(timeout: Duration) async throws(AgentError) -> Int {
        // No status first: it cannot be trusted, and asking costs time.
        try await ask("guest-fsfreeze-thaw", timeout: timeout) { reply throws(AgentError) in
            try reply.integer(in: Self.counts)
        }
    }
}
