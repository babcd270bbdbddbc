// SPDX-License-Identifier: Apache-2.0

/// A process of its own that thaws the guest when this one dies or is late, until a thaw reply proves it.
public protocol Guardian: Sendable {
    /// Starts it. When this returns its own connection has reached the guest's agent; until then nothing may be frozen.
    func stand() async throws(Failure)

    /// From now on it thaws `limit` from now, or when this process is gone. One write to a socket.
    func arm(_ limit: Duration) throws(Failure)

    /// Nothing is frozen any more. One write to a socket; safe to call twice, and where it never stood.
    func dismiss()

    /// After ``dismiss()``: what it did by itself, nil for nothing. Waits for its end, a second at most.
    func lastWord() async -> String?
}
