// SPDX-License-Identifier: Apache-2.0

/// One application's hook: a POSIX sh text that is sent into the guest, and what its header says of it.
public struct Hook: Sendable, Hashable {
    /// A catalogue name, `[a-z][a-z0-9-]{0,31}`.
    public var name: String
    /// Where it was read: a path, or `built in`.
    public var origin: String
    /// Of the text that is sent, the common functions included, in hexadecimal digits.
    public var sha256: String
    /// Commands, process names and absolute paths; its probe is worth a call where one of them is there.
    public var looksFor: [String]
    /// The configuration keys it understands.
    public var parameters: [String]
    public var text: String

    public init(
        name: String, origin: String, sha256: String, looksFor: [String] = [], parameters: [String] = [], text: String
    ) {
        self.name = name
        self.origin = origin
        self.sha256 = sha256
        self.looksFor = looksFor
        self.parameters = parameters
        self.text = text
    }
}

public enum HookVerb: String, Codable, Sendable {
    case probe, prepare, verify
    case preFreeze = "pre-freeze"
    case postThaw = "post-thaw"
}

/// What a hook that fails before the freeze does to the run. One that has something bad to say only afterwards, as of a lock
/// that was lost, costs the level under `fail` too.
public enum HookPolicy: String, Codable, Sendable, CaseIterable {
    /// The run is undone and refused.
    case fail
    /// The run goes on and reaches `filesystem` at most.
    case degrade
    /// The run goes on, and the application is no part of the verdict.
    case ignore
}

/// A hook with what the caller or the configuration says of it.
public struct HookChoice: Sendable, Hashable {
    public static let standardTimeout = Duration.seconds(30)
    public static let timeouts = Duration.seconds(1)...Duration.seconds(3600)

    public var hook: Hook
    /// For the hook, by configuration key; its `instance` among them.
    public var parameters: [String: String]
    /// Who asked for it: `--hook`, `config.yaml line 12`; nil for one that is merely tried.
    public var place: String?
    public var policy: HookPolicy
    /// For each verb.
    public var timeout: Duration

    public init(
        _ hook: Hook, parameters: [String: String] = [:], place: String? = nil, policy: HookPolicy? = nil,
        timeout: Duration = standardTimeout
    ) {
        self.hook = hook
        self.parameters = parameters
        self.place = place
        self.policy = policy ?? (place == nil ? .degrade : .fail)
        self.timeout = timeout
    }
}
