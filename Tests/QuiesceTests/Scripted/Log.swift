// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Synchronization

/// What the fakes can hear, one word for each verb of the ports and each kind of journal entry.
enum Heard: String, Sendable {
    case journalOpened, staging, preparing, released, window, windowClosed, registering, merging, removing,
        freezingByHand, reverting, journalClosed, thawed,
        unfinished
    case resumed, overwritten
    case cutWithMemory, cutInside, removeInside, reserve, seal, contents, insideCheck, wholeCheck
    case shuttingDown, startedAgain, shutDown, start, point, restore
    case observe, look, saved, disks, definition, define, cut, register, unregister, merge
    case stage, discard, withdraw, remove, headerCheck, imageCheck
    case rescue, stood, armed, dismissed, clock, sync, arm, steady, disarm, freeze, thaw, thawAll, tidy, tidyLater
    case papersForgotten
    case hookPrepare, standBy, turn, hookLock, hookHeard, hookRelease, artifact
    case catalogue, mark, told
    case askedToShutDown, poweredOff, started, defined, restored, forgotten
    case mergedIdle, rested, branchKept, branchChanged, branchDropped, moved
    case cloneSweep, cloneStart, cloneState, cloneVerify, cloneRemove, cloneKeep
}

/// The one script book of a test: all fakes write into it in the order in which they are called, and it says what is
/// refused and what happens at a cue.
final class Log: Sendable {
    private struct State {
        var lines: [(what: Heard, detail: String)] = []
        var refusals: [Heard: (failure: Failure, times: Int)] = [:]
        var cues: [Heard: @Sendable () -> Void] = [:]
        var waiting: [(what: Heard, continuation: CheckedContinuation<Void, Never>)] = []
    }
    private let state = Mutex(State())

    /// From now on this verb is heard, and fails: always, or so many times.
    func refuse(_ what: Heard, _ failure: Failure, times: Int = .max) {
        state.withLock { $0.refusals[what] = (failure, times) }
    }

    /// Done each time the verb is heard.
    func cue(_ what: Heard, _ action: @escaping @Sendable () -> Void) { state.withLock { $0.cues[what] = action } }

    func hear(_ what: Heard, _ detail: String = "") {
        let (cue, woken) = state.withLock { state in
            state.lines.append((what, detail))
            let woken = state.waiting.filter { $0.what == what }
            state.waiting.removeAll { $0.what == what }
            return (state.cues[what], woken)
        }
        cue?()
        for one in woken { one.continuation.resume() }
    }

    func answer(_ what: Heard, _ detail: String = "") throws(Failure) {
        hear(what, detail)
        try refusal(of: what)
    }

    /// For what is asked without being heard.
    func refusal(of what: Heard) throws(Failure) {
        let failure = state.withLock { state -> Failure? in
            guard let refusal = state.refusals[what], refusal.times > 0 else { return nil }
            state.refusals[what] = (refusal.failure, refusal.times - 1)
            return refusal.failure
        }
        if let failure { throw failure }
    }

    /// Returns once the verb has been heard.
    func wait(for what: Heard) async {
        await withCheckedContinuation { continuation in
            let isPast = state.withLock { state in
                if state.lines.contains(where: { $0.what == what }) { return true }
                state.waiting.append((what, continuation))
                return false
            }
            if isPast { continuation.resume() }
        }
    }

    /// Everything but what the run told its listener.
    var heard: [Heard] { state.withLock { $0.lines.map(\.what).filter { $0 != .told } } }
    /// That too.
    var everything: [Heard] { state.withLock { $0.lines.map(\.what) } }

    func count(_ what: Heard) -> Int { everything.count { $0 == what } }
    func details(of what: Heard) -> [String] { state.withLock { $0.lines.filter { $0.what == what }.map(\.detail) } }

    /// Whether `first` was heard, and nothing of `second` before it.
    func heard(_ first: Heard, before second: Heard) -> Bool {
        guard let early = everything.firstIndex(of: first), let late = everything.firstIndex(of: second) else {
            return false
        }
        return early < late
    }
}
