// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// A clock on which sleeping takes no time: it moves on by itself.
final class ManualClock: Clock {
    typealias Duration = Swift.Duration

    struct Instant: InstantProtocol {
        var sinceStart: Duration
        func advanced(by duration: Duration) -> Instant { Instant(sinceStart: sinceStart + duration) }
        func duration(to other: Instant) -> Duration { other.sinceStart - sinceStart }
        static func < (one: Instant, other: Instant) -> Bool { one.sinceStart < other.sinceStart }
    }

    private let state = Mutex((now: Duration.zero, pauses: [Duration]()))

    var now: Instant { Instant(sinceStart: state.withLock { $0.now }) }
    let minimumResolution = Duration.zero
    var pauses: [Duration] { state.withLock { $0.pauses } }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        try Task.checkCancellation()
        state.withLock { state in
            state.pauses.append(deadline.sinceStart - state.now)
            state.now = deadline.sinceStart
        }
    }
}
