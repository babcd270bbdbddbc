// SPDX-License-Identifier: Apache-2.0

/// One verb of one hook, with everything its environment is made from.
public struct HookCall: Sendable, Hashable {
    public enum Outcome: String, Sendable { case taken, failed, unknown }

    public var verb: HookVerb
    public var hook: Hook
    public var parameters: [String: String]
    public var instance: String?
    /// After which a lock lets go by itself.
    public var lease: Duration
    /// For `post-thaw`.
    public var outcome: Outcome?
    /// What is about to be frozen.
    public var mountpoints: [String]
    /// For `verify`: where the log stood at the cut.
    public var recorded: Position?

    public init(
        _ verb: HookVerb, of hook: Hook, parameters: [String: String] = [:], instance: String? = nil,
        lease: Duration = .seconds(60), outcome: Outcome? = nil, mountpoints: [String] = [],
        recorded: Position? = nil
    ) {
        self.verb = verb
        self.hook = hook
        self.parameters = parameters
        self.instance = instance
        self.lease = lease
        self.outcome = outcome
        self.mountpoints = mountpoints
        self.recorded = recorded
    }
}

/// How a hook's verb ended. Only `done` says that it did what it was asked for.
public enum HookResult: Sendable, Hashable {
    case done(HookReply)
    /// Its exit 75: something that passes stands in the way.
    case busy(String)
    /// Its exit 77: it lacks the rights.
    case denied(String)
    case failed(String)
    /// The guest could not be brought to run it: nothing was begun.
    case unstarted(String)
    /// Its answer is lost, or it was ended: it may have done all, some or nothing, and may still run.
    case unknown(String)
}

/// What a hook wrote, as the guest's word.
public struct HookReply: Sendable, Hashable {
    public struct Artifact: Sendable, Hashable {
        /// `[A-Za-z0-9._-]{1,64}` without a leading dot.
        public var name: String
        public var bytes: [UInt8]
        /// In hexadecimal digits.
        public var sha256: String

        public init(name: String, bytes: [UInt8], sha256: String) {
            self.name = name
            self.bytes = bytes
            self.sha256 = sha256
        }
    }

    public var position: Position?
    /// Whether the lock held from `pre-freeze` to its release; nil where none is needed.
    public var held: Bool?
    public var holdMs: Int64?
    /// Why it did not hold.
    public var lost: String?
    public var facts: [String: Position.Value]
    public var artifacts: [Artifact]
    /// `verify`: whether the data is whole, and its words for it.
    public var whole: Bool?
    public var detail: String?

    public init(
        position: Position? = nil, held: Bool? = nil, holdMs: Int64? = nil, lost: String? = nil,
        facts: [String: Position.Value] = [:], artifacts: [Artifact] = [], whole: Bool? = nil, detail: String? = nil
    ) {
        self.position = position
        self.held = held
        self.holdMs = holdMs
        self.lost = lost
        self.facts = facts
        self.artifacts = artifacts
        self.whole = whole
        self.detail = detail
    }
}
