// SPDX-License-Identifier: Apache-2.0
import JSON

/// An open file in the guest. Only the agent that opened it knows it: a restart closes it.
public struct GuestFile: Sendable, Hashable {
    let handle: Int
}

extension GuestAgent {
    /// Opens a named pipe for writing, and for reading too, because opened for writing alone it would make the agent wait
    /// for a reader (guest-file-open, mode `r+`).
    public func openPipe(_ path: String) async throws(AgentError) -> GuestFile {
        let arguments: JSONObject = ["path": .string(path), "mode": "r+"]
        return try await ask("guest-file-open", arguments) { reply throws(AgentError) in
            GuestFile(handle: try reply.integer(in: 0...Int.max))
        }
    }

    /// Writes all of the bytes, at most 4 KiB, and closes the file (guest-file-write, guest-file-close: what is written
    /// stays in the agent until then).
    public func write(_ bytes: [UInt8], closing file: GuestFile) async throws(AgentError) {
        guard bytes.count <= 4096 else {
            throw AgentError(
                .notSent("\(bytes.count) bytes do not fit into a pipe at once"), command: "guest-file-write")
        }
        let arguments: JSONObject = ["handle": .integer(Int64(file.handle)), "buf-b64": .string(Base64.encode(bytes))]
        try await ask("guest-file-write", arguments) { reply throws(AgentError) in
            let count = try reply.member("count")
            guard try count.integer(in: 0...Int.max) == bytes.count else {
                throw count.malformed("is not what was sent")
            }
        }
        try await close(file)
    }

    /// Closes it (guest-file-close).
    public func close(_ file: GuestFile) async throws(AgentError) {
        try await ask("guest-file-close", ["handle": .integer(Int64(file.handle))]) { reply throws(AgentError) in
            _ = try reply.object()
        }
    }
}
