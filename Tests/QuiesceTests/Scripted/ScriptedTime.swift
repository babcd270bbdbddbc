// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Synchronization

/// A clock that only the script moves. A sleeper moves it to the end of its sleep, except while time is held (from the
/// freeze to the thaw): then it waits until the script has moved the clock that far.
final class ScriptedTime: Time {
    private struct Sleeper {
        var end: Duration
        var continuation: CheckedContinuation<Void, Never>
    }
    private struct State {
        var elapsed = Duration.zero
        var isHeld = false
        var tickets = 0
        var sleepers: [Int: Sleeper] = [:]
        var cancelled: Set<Int> = []
    }
    private let origin = ContinuousClock.now
    private let state = Mutex(State())

    var now: ContinuousClock.Instant { origin + elapsed }
    var wall: Timestamp { Sample.start.adding(milliseconds: elapsed.inMilliseconds) }
    var elapsed: Duration { state.withLock { $0.elapsed } }

    func hold() { state.withLock { $0.isHeld = true } }
    func release() { state.withLock { $0.isHeld = false } }

    func advance(by duration: Duration) {
        let woken = state.withLock { state in
            state.elapsed += duration
            let due = state.sleepers.filter { $0.value.end <= state.elapsed }
            for ticket in due.keys { state.sleepers[ticket] = nil }
            return due.values.map(\.continuation)
        }
        for continuation in woken { continuation.resume() }
    }

    func sleep(until instant: ContinuousClock.Instant) async {
        let end = origin.duration(to: instant)
        let ticket = state.withLock { state in
            state.tickets += 1
            return state.tickets
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if !park(ticket, Sleeper(end: end, continuation: continuation)) { continuation.resume() }
            }
        } onCancel: {
            state.withLock { state in
                state.cancelled.insert(ticket)
                return state.sleepers.removeValue(forKey: ticket)
            }?.continuation.resume()
        }
    }

    /// False when there is nothing to wait for.
    private func park(_ ticket: Int, _ sleeper: Sleeper) -> Bool {
        state.withLock { state in
            if state.cancelled.contains(ticket) || sleeper.end <= state.elapsed { return false }
            if state.isHeld {
                state.sleepers[ticket] = sleeper
            } else {
                state.elapsed = sleeper.end
            }
            return state.isHeld
        }
    }
}
