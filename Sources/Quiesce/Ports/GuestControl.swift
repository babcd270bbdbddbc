// SPDX-License-Identifier: Apache-2.0

/// What a run does inside the guest through its agent. Freeze and everything before it share one lane; the thaw has a
/// connection and a thread of its own, opened before the first freeze.
public protocol GuestControl: Sendable {
    /// Opens and tests the thaw's own connection. Until it returns nothing may be frozen.
    func prepareRescue() async throws(Failure)

    /// Guest clock minus host clock, and how far that may be off, in milliseconds.
    func clockOffset() async throws(GuestFailure) -> ClockOffset

    /// Writes the filesystems' dirty data out, in parallel, before anything is frozen.
    func sync(_ mountpoints: [String], within limit: Duration) async throws(GuestFailure)

    /// Starts the dead-man inside the guest, idle: it waits for its deadline, at most `longStop`, and then thaws these and
    /// puts RCU back, whatever becomes of the host. Returns when it waits.
    func arm(_ mountpoints: [String], longStop: Duration, expedites: Bool) async throws(GuestFailure) -> DeadMan

    /// Says the last words before the freeze, unless they were said in their turn.
    func steady(_ words: LastWords) async throws(GuestFailure)

    /// Calls a run's dead-man off and puts RCU back. Safe to call twice. Returns what the dead-man had done by itself.
    func disarm(_ run: RunID) async throws(GuestFailure) -> String?

    /// Runs one verb of a hook to its end, or `limit`; then it is ended in the guest too. Never throws: how it ended is the
    /// result, and a lost answer is asked for again before it counts as lost.
    func run(_ call: HookCall, within limit: Duration) async -> HookResult

    /// Starts all of these up to their first step, so that ``run(_:within:)`` and ``steady(_:)`` only give them their word:
    /// while a lock is held every process that is started is waited for. What cannot wait is started when it is called.
    func standBy(_ turns: [HookTurn]) async

    /// Gives those that stand by the word for the whole turn: each begins as soon as the lock before it is held, or let
    /// go. ``run(_:within:)`` and ``steady(_:)`` then wait for their end. False where it had no effect: they do not stand by.
    func runInTurn(_ turn: HookTurn) async -> Bool

    /// Waits, `limit` at most, for the last words of a turn that was given its word. True when they were said: every lock of
    /// the turn is held then. What the hooks have to say about it is there to be heard.
    func lastWordsSaid(_ words: LastWords, within limit: Duration) async -> Bool

    /// How a call ended that began in its turn. Begins nothing: of one that was not in turn nothing is known.
    func hear(_ call: HookCall, within limit: Duration) async -> HookResult

    /// Has the guest's kernel thaw whatever is frozen, another's freeze too: also what the agent does not find, since it was
    /// unmounted or mounted over in the window.
    func thawAll() async throws(GuestFailure)

    /// Removes what a run left under `/run/stillpoint` in the guest, once it is disarmed. Safe to call twice.
    ///
    /// - Parameter when: later where a hook that is stuck may still need it to let go.
    func tidy(_ run: RunID, _ when: Tidying) async throws(GuestFailure)

    /// `guest-fsfreeze-freeze-list`. The count is the guest's word. Any failure but `.refused` leaves it open whether the
    /// guest is frozen, or will be when the agent gets to it (measured: 14 s later).
    func freeze(_ mountpoints: [String], timeout: Duration) async throws(GuestFailure) -> Int

    /// `guest-fsfreeze-thaw` over the rescue connection, without asking the status first. Thaws whatever is frozen,
    /// another's freeze too. The count is the guest's word.
    func thaw(timeout: Duration) async throws(GuestFailure) -> Int
}

/// When a guest has nothing left of a run.
public enum Tidying: Sendable, Hashable {
    case now
    /// After ten minutes, which is as long as a hook's holder stays.
    case later
}

/// Before the freeze: RCU is expedited if the dead-man was armed for that, dirty data is written out, and the dead-man gets
/// its deadline.
public struct LastWords: Sendable, Hashable {
    public var mountpoints: [String]
    public var deadline: Duration
    public var expedites: Bool

    public init(_ mountpoints: [String], deadline: Duration, expedites: Bool) {
        (self.mountpoints, self.deadline, self.expedites) = (mountpoints, deadline, expedites)
    }
}

/// Hooks that follow each other inside the guest at one word of the host's, and what is said when the last lock is held.
public struct HookTurn: Sendable {
    public var calls: [HookCall]
    public var last: LastWords?

    public init(_ calls: [HookCall], last: LastWords? = nil) { (self.calls, self.last) = (calls, last) }
}

/// What would end a freeze from inside the guest.
public enum DeadMan: String, Codable, Sendable {
    /// It outlives the guest's agent.
    case armed
    /// A guest without systemd: it dies with the agent.
    case agentBound
    /// guest-exec is not allowed.
    case absent
}

public struct ClockOffset: Sendable, Hashable {
    public var milliseconds: Int64
    public var uncertainty: Int64

    public init(milliseconds: Int64, uncertainty: Int64) {
        self.milliseconds = milliseconds
        self.uncertainty = uncertainty
    }
}

/// Why the guest did not do it, as far as the host can tell.
public struct GuestFailure: Error, Sendable, Hashable, CustomStringConvertible {
    public enum Kind: Sendable, Hashable {
        /// The agent answered and said no.
        case refused
        /// The agent is frozen already, by somebody else: not ours to thaw.
        case alreadyFrozen
        /// Nothing has the channel open.
        case notConnected
        /// No answer in time. The request may still be carried out.
        case timedOut
        /// Another caller holds the guest's agent.
        case busy
        /// An answer that no agent gives.
        case malformed
        /// The hypervisor did not pass the request on.
        case unreachable
    }

    public var kind: Kind
    public var cause: String

    public init(_ kind: Kind, _ cause: String) {
        self.kind = kind
        self.cause = cause
    }

    public var description: String { cause }
}
