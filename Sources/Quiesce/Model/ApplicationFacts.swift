// SPDX-License-Identifier: Apache-2.0

/// What one hook's probe said of one instance. All of it is the guest's word.
public struct ApplicationFacts: Sendable, Hashable {
    public enum State: Sendable, Hashable {
        case absent, stopped, running, recovering
        /// It is there, and we lack the rights to prepare it.
        case denied(String)
        /// The probe gave no usable answer.
        case unclear(String)
    }

    public enum Role: String, Codable, Sendable { case primary, replica }

    public var choice: HookChoice
    /// Which of several on one guest: `15/main`.
    public var instance: String?
    public var state: State
    public var role: Role?
    public var version: String?
    /// Files and folders that belong together: a snapshot of some of them is of no use.
    public var paths: [String]

    public init(
        _ choice: HookChoice, instance: String? = nil, state: State, role: Role? = nil, version: String? = nil,
        paths: [String] = []
    ) {
        self.choice = choice
        self.instance = instance
        self.state = state
        self.role = role
        self.version = version
        self.paths = paths
    }

    /// `postgresql 15/main`
    public var label: String { instance.map { "\(choice.hook.name) \($0)" } ?? choice.hook.name }
}
