// SPDX-License-Identifier: Apache-2.0

import Glibc
public import Quiesce

/// The machine's clocks.
public struct SystemTime: Time {
    public init() {}

    public var now: ContinuousClock.Instant { .now }

    public var wall: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        var parts = tm()
        localtime_r(&time.tv_sec, &parts)
        return Timestamp(
            milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000, offset: parts.tm_gmtoff)
    }

    public func sleep(until instant: ContinuousClock.Instant) async {
        try? await Task.sleep(until: instant, clock: .continuous)
    }
}
