// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
public import Quiesce

/// The machine's clocks.
public struct SystemTime: Time {
    public init() {}

    public var now: ContinuousClock.Instant { .now }

    public var wall: Timestamp {
        let milliseconds = Int64(exactly: (Date().timeIntervalSince1970 * 1000).rounded(.down)) ?? 0
        var seconds = time_t(milliseconds / 1000)
        var parts = tm()
        localtime_r(&seconds, &parts)
        return Timestamp(milliseconds: milliseconds, offset: parts.tm_gmtoff)
    }

    public func sleep(until instant: ContinuousClock.Instant) async {
        try? await Task.sleep(until: instant, clock: .continuous)
    }
}
