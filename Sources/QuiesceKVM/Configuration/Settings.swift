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
    }

    /// For guests that say nothing of their own.
    var require: Consistency?
    var maxFreeze: Duration?
    var guests: [String: Guest] = [:]
    public internal(set) var chain = ChainLimits()

    init() {}

    /// What holds for the guest of that name: its own words first, then the defaults.
    public func guest(_ name: String) -> Guest {
        var guest = guests[name] ?? Guest()
        guest.require = guest.require ?? require
        guest.maxFreeze = guest.maxFreeze ?? maxFreeze
        return guest
    }
}
