// SPDX-License-Identifier: Apache-2.0

/// The hooks of one guest: taken up in order, put down in reverse. What was begun is put down once, whatever became of it.
struct HookStack: Sendable {
    /// One application on its way through a run.
    struct Entry: Sendable {
        enum Stage: Sendable, Hashable {
            case idle
            /// `prepare` was sent: an idle holder may be there.
            case prepared
            /// `pre-freeze` was sent: a lock may be there.
            case locking
            case locked
            case released
        }

        let application: MemberPlan.Application
        var stage = Stage.idle
        /// Why it was not prepared or its lock not taken.
        var failure: String?
        /// Its `prepare` was run, whatever came of it.
        var hasBegun = true
        /// Its lock was asked for.
        var hasLocked = false
        /// Why what it changed may still be there: its lock, or what `prepare` set.
        var releaseFailure: String?
        var reply = HookReply()
        /// The guest confirmed the release.
        var isReleased = false
        /// Its lock is held; what it has to say about that is not heard yet.
        var isUnheard = false
        var tookMs: [HookVerb: Int64] = [:]

        var isLocked: Bool { stage == .locked }

        /// Who is not known to have let go, why, and when that goes by itself: a lock with its lease, what was prepared with the
        /// ten minutes that a hook's holder stays.
        func leftBehind(_ lease: Duration) -> String? {
            releaseFailure.map { why in
                let end =
                    hasLocked
                    ? "its lock ends by itself within \(lease.forPeople)"
                    : "what it prepared goes by itself within 10 min"
                return "\(application.label): its release was not confirmed (\(why)); \(end)"
            }
        }
    }

    private(set) var entries: [Entry]
    /// The first `pre-freeze` was sent.
    private(set) var lockedSince: ContinuousClock.Instant?
    /// The last words before the freeze were said behind the last lock.
    private(set) var areLastWordsSaid = false
    /// What the hooks took while locks could be held.
    private(set) var waited = Duration.zero
    private let guest: any GuestControl
    private let time: any Time
    private let interruption: Interruption
    private let lastWords: LastWords
    private let maxHold: Duration

    init(_ plan: MemberPlan, guest: any GuestControl, time: any Time, interruption: Interruption) {
        entries = plan.applications.map { Entry(application: $0) }
        lastWords = plan.lastWords
        maxHold = plan.maxHold
        self.guest = guest
        self.time = time
        self.interruption = interruption
    }

    var isEmpty: Bool { entries.isEmpty }
    /// Those that may not have been put down.
    var stuck: [Entry] { entries.filter { $0.releaseFailure != nil } }

    /// By then every lock is released, by us or by its lease.
    private var holdEnd: ContinuousClock.Instant { (lockedSince ?? time.now) + maxHold }

    /// All slow work, while nothing waits. A hook that fails here takes no lock.
    mutating func prepare() async throws(Failure) {
        for index in entries.indices {
            entries[index].stage = .prepared
            let limit = entries[index].application.choice.timeout
            let result = await call(.prepare, index, lease: maxHold, within: limit)
            if case .unstarted = result { entries[index].hasBegun = false }
            if let reply = accept(result, index) { merge(reply, into: index) } else { try refuse(index, "prepare") }
            try demandUninterrupted()
        }
        let ready = entries.indices.filter { entries[$0].failure == nil }
        if !ready.isEmpty { await guest.standBy([locks(of: ready), releases(of: ready)]) }
    }

    private func locks(of ready: [Int]) -> HookTurn {
        HookTurn(ready.map { call(.preFreeze, $0, lease: time.now.duration(to: holdEnd)) }, last: lastWords)
    }

    private func releases(of ready: [Int], _ outcome: HookCall.Outcome? = nil) -> HookTurn {
        HookTurn(ready.reversed().map { call(.postThaw, $0, lease: maxHold, outcome: outcome) })
    }

    /// Takes the locks in order. Where the guest says that it holds them all, nobody waits for the hooks to say it too.
    mutating func lock() async throws(Failure) {
        let begin = time.now
        lockedSince = begin
        defer { waited += begin.duration(to: time.now) }
        let ready = entries.indices.filter { entries[$0].failure == nil }
        for index in ready { entries[index].stage = .locking }
        if await guest.runInTurn(locks(of: ready)) {
            areLastWordsSaid = await guest.lastWordsSaid(lastWords, within: patience(with: ready))
        }
        if areLastWordsSaid {
            let took = begin.duration(to: time.now).inMilliseconds
            for index in ready {
                (entries[index].stage, entries[index].isUnheard) = (.locked, true)
                entries[index].tookMs[.preFreeze] = took
            }
            try demandUninterrupted()
        } else {
            try await hearLocks(of: ready, since: begin)
        }
    }

    /// A lock that fails ends the wait at once, so only what hangs uses this up; the other half is for a look at each. On a
    /// slow guest such a look costs more than the locks themselves (4 to 10 s, measured).
    private func patience(with ready: [Int]) -> Duration {
        let limits = ready.map { entries[$0].application.choice.timeout } + [lockEnd - time.now]
        return (limits.min() ?? .zero) / 2
    }

    /// The window needs its part of the hold.
    private var lockEnd: ContinuousClock.Instant { holdEnd - .seconds(1) }

    /// What is busy is asked again as long as the hold leaves time.
    private mutating func hearLocks(of ready: [Int], since begin: ContinuousClock.Instant) async throws(Failure) {
        let end = lockEnd
        var since = begin
        for index in ready {
            while true {
                let limit = time.now.duration(to: min(since + entries[index].application.choice.timeout, end))
                guard limit > .zero else {
                    entries[index].failure = entries[index].failure ?? "the locks before it took all of the hold"
                    break
                }
                let result = await call(.preFreeze, index, lease: time.now.duration(to: holdEnd), within: limit)
                since = time.now
                if let reply = accept(result, index) {
                    merge(reply, into: index)
                    (entries[index].stage, entries[index].failure) = (.locked, nil)
                    break
                }
                guard case .busy = result, time.now + .milliseconds(500) < end, interruption.status == nil else {
                    break
                }
                await time.sleep(until: time.now + .milliseconds(250))
                since = time.now
            }
            if entries[index].failure != nil { try refuse(index, "pre-freeze") }
            try demandUninterrupted()
        }
    }

    /// Puts down everything that was begun, the last one first, also what failed.
    mutating func release(_ outcome: HookCall.Outcome) async {
        let begin = time.now
        defer { waited += begin.duration(to: time.now) }
        // Nobody waits any more for a lock that is still being taken.
        for index in entries.indices where entries[index].stage == .locking && entries[index].failure == nil {
            _ = await guest.hear(call(.preFreeze, index), within: .zero)
        }
        let ready = entries.indices.filter { [.locking, .locked].contains(entries[$0].stage) }
        // Inside the guest a release waits for what its lock has to say: it is heard meanwhile.
        if await guest.runInTurn(releases(of: ready, outcome)) {
            for index in ready { await hear(index, within: max(.seconds(1), time.now.duration(to: holdEnd))) }
        }
        for index in entries.indices.reversed() {
            let before = entries[index].stage
            guard before != .idle, before != .released else { continue }
            await hear(index, within: .seconds(2))
            (entries[index].stage, entries[index].hasLocked) = (.released, before != .prepared)
            let limit = entries[index].application.choice.timeout
            switch await call(.postThaw, index, lease: maxHold, outcome: outcome, within: limit) {
            case .done(let reply):
                entries[index].isReleased = true
                merge(reply, into: index)
                let lost = reply.held == false || reply.held == nil && before == .locked && isExact(index)
                if lost, entries[index].failure == nil {
                    entries[index].failure = reply.lost ?? "its lock did not hold"
                }
            case .busy(let why), .denied(let why), .failed(let why), .unstarted(let why), .unknown(let why):
                // One whose `prepare` failed cleanly has nothing any more, and says so.
                if entries[index].hasBegun { entries[index].releaseFailure = why }
            }
        }
    }

    /// What a lock that was taken in turn has to say.
    private mutating func hear(_ index: Int, within longest: Duration) async {
        guard entries[index].isUnheard else { return }
        entries[index].isUnheard = false
        let limit = min(entries[index].application.choice.timeout, longest)
        let result = await guest.hear(call(.preFreeze, index), within: limit)
        if let reply = accept(result, index) { merge(reply, into: index) }
    }

    /// Its position holds for the cut by its lock alone.
    private func isExact(_ index: Int) -> Bool { entries[index].reply.position?.relation == .exact }

    private mutating func call(
        _ verb: HookVerb, _ index: Int, lease: Duration, outcome: HookCall.Outcome? = nil, within limit: Duration
    ) async -> HookResult {
        let start = time.now
        let result = await guest.run(call(verb, index, lease: lease, outcome: outcome), within: limit)
        let took = start.duration(to: time.now).inMilliseconds
        entries[index].tookMs[verb] = (entries[index].tookMs[verb] ?? 0).addingClamped(took)
        return result
    }

    private func call(
        _ verb: HookVerb, _ index: Int, lease: Duration = .seconds(60), outcome: HookCall.Outcome? = nil
    ) -> HookCall {
        let application = entries[index].application
        return HookCall(
            verb, of: application.choice.hook, parameters: application.choice.parameters,
            instance: application.facts.instance, lease: max(lease, .seconds(1)), outcome: outcome,
            mountpoints: lastWords.mountpoints)
    }

    private mutating func accept(_ result: HookResult, _ index: Int) -> HookReply? {
        switch result {
        case .done(let reply): return reply
        case .busy(let why): entries[index].failure = why
        case .denied(let why): entries[index].failure = "rights are missing: \(why)"
        case .failed(let why), .unstarted(let why), .unknown(let why): entries[index].failure = why
        }
        return nil
    }

    private mutating func merge(_ reply: HookReply, into index: Int) {
        var sum = entries[index].reply
        sum.position = reply.position ?? sum.position
        sum.held = reply.held ?? sum.held
        sum.holdMs = reply.holdMs ?? sum.holdMs
        sum.lost = reply.lost ?? sum.lost
        sum.facts.merge(reply.facts) { $1 }
        // What it gives again takes the place of what it gave before.
        sum.artifacts.removeAll { given in reply.artifacts.contains { $0.name == given.name } }
        sum.artifacts += reply.artifacts
        entries[index].reply = sum
    }

    private func demandUninterrupted() throws(Failure) {
        guard let status = interruption.status else { return }
        throw Failure(status, "stopped before the freeze, nothing was frozen")
    }

    /// A failure that the policy does not forgive ends the run.
    private func refuse(_ index: Int, _ verb: String) throws(Failure) {
        let application = entries[index].application
        guard application.choice.policy == .fail, let why = entries[index].failure else { return }
        throw Failure(
            .refused, "\(verb) of \(application.label) failed: \(why)",
            hint: "policy: degrade for \(application.choice.hook.name) goes on without it, --no-hooks without any")
    }
}
