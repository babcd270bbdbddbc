// SPDX-License-Identifier: Apache-2.0

/// Both clocks of a run: the monotonic one for every deadline, the wall's for what people read.
public protocol Time: Sendable {
    var now: ContinuousClock.Instant { get }
    var wall: Timestamp { get }
    func sleep(until instant: ContinuousClock.Instant) async
}
