// SPDX-License-Identifier: Apache-2.0

public import Quiesce

/// What `/etc/stillpoint/config.yaml` and `conf.d/*.yaml` say, or the one file of `--config`. Every key is known and
/// used; a key said in two files counts as the later file says it.
public struct Settings: Sendable, Hashable {
    public struct Guest: Sendable, Hashable {
        /// Disks that are left out unless asked for by name, each with the place that says so.
        public var exclude: [DiskTarget: String] = [:]
        public var require: Consistency?
        public var maxFreeze: Duration?
        public var maxHold: Duration?
        /// For each verb of a hook that has none of its own.
        public var hookTimeout: Duration?
        /// These alone, in this order; nil for those that are found.
        var hooks: [HookWords]?
    }

    /// Every file that was read, in that order.
    public internal(set) var files: [String] = []
    /// For guests that say nothing of their own.
    var defaults = Guest()
    var guests: [String: Guest] = [:]
    public internal(set) var chain = ChainLimits()
    /// What `prune` takes away when nobody says.
    public internal(set) var prune: PruneRule?

    init() {}

    /// What holds for the guest of that name: its own words first, then the defaults.
    public func guest(_ name: String) -> Guest {
        var guest = guests[name] ?? Guest()
        guest.require = guest.require ?? defaults.require
        guest.maxFreeze = guest.maxFreeze ?? defaults.maxFreeze
        guest.maxHold = guest.maxHold ?? defaults.maxHold
        guest.hookTimeout = defaults.hookTimeout
        return guest
    }

    /// The guests that it names.
    public var guestNames: [String] { guests.keys.sorted() }
}
