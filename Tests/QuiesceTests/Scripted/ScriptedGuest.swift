// SPDX-License-Identifier: Apache-2.0

import Quiesce

struct ScriptedGuest: GuestControl {
    let log: Log
    let time: ScriptedTime
    var offset: Result<ClockOffset, GuestFailure> = .success(ClockOffset(milliseconds: 1500, uncertainty: 4))
    /// What `sync`, `arm`, `steady` and `disarm` answer instead of doing it.
    var failing: [Heard: GuestFailure] = [:]
    var freezing: Result<Int, GuestFailure> = .success(2)
    var freezeTakes = Duration.milliseconds(20)
    /// One answer an attempt; the last one is given for ever.
    var thaws: [Result<Int, GuestFailure>] = [.success(2)]
    var thawTakes = Duration.milliseconds(3)
    /// How a hook's verbs end, by hook and verb: one answer a call, the last one for ever; `done` where nothing is said.
    var hooks: [String: [HookVerb: [HookResult]]] = [:]
    /// Whether releases that stand by get their word as one turn.
    var releasesInTurn = true
    /// Whether the last words are said behind the last lock, whatever the hooks have to say about it.
    var saysInTurn = false
    var turnTakes = Duration.zero
    /// What the dead-man says that it did.
    var fired: String?
    var hookTakes = Duration.milliseconds(10)

    func prepareRescue() async throws(Failure) { try log.answer(.rescue) }

    func clockOffset() async throws(GuestFailure) -> ClockOffset {
        log.hear(.clock)
        return try offset.get()
    }

    func sync(_ mountpoints: [String], within limit: Duration) async throws(GuestFailure) {
        try obey(.sync, mountpoints.joined(separator: " "))
    }

    func arm(_ mountpoints: [String], longStop: Duration, expedites: Bool) async throws(GuestFailure) -> DeadMan {
        try obey(.arm, mountpoints.joined(separator: " ") + (expedites ? " expedites" : ""))
        return .armed
    }

    func steady(_ words: LastWords) async throws(GuestFailure) {
        try obey(.steady, words.deadline.forPeople + (words.expedites ? " expedited" : ""))
    }

    func disarm(_ run: RunID) async throws(GuestFailure) -> String? {
        try obey(.disarm)
        return fired
    }

    func freeze(_ mountpoints: [String], timeout: Duration) async throws(GuestFailure) -> Int {
        time.hold()
        log.hear(.freeze, mountpoints.joined(separator: " ") + " within " + timeout.forPeople)
        if case .failure(let failure) = freezing, failure.kind == .timedOut {
            time.advance(by: timeout)
        } else {
            time.advance(by: freezeTakes)
        }
        return try freezing.get()
    }

    func thaw(timeout: Duration) async throws(GuestFailure) -> Int {
        time.release()
        let attempt = min(log.count(.thaw), thaws.count - 1)
        let answer = thaws.indices.contains(attempt) ? thaws[attempt] : .failure(GuestFailure(.timedOut, "no script"))
        if case .failure(let failure) = answer, failure.kind == .timedOut {
            time.advance(by: timeout)
        } else {
            time.advance(by: thawTakes)
        }
        // After the clock has moved: a cut that waits for the thaw must end later than it was sent.
        log.hear(.thaw)
        return try answer.get()
    }

    func run(_ call: HookCall, within limit: Duration) async -> HookResult {
        let heard: Heard = call.verb == .prepare ? .hookPrepare : call.verb == .preFreeze ? .hookLock : .hookRelease
        let who = [call.hook.name, call.instance, call.outcome?.rawValue].compactMap { $0 }.joined(separator: " ")
        let answers = hooks[call.hook.name]?[call.verb] ?? [.done(HookReply())]
        let before = log.details(of: heard).count { $0 == who }
        log.hear(heard, who)
        let answer = answers.indices.contains(before) ? answers[before] : answers.last ?? .done(HookReply())
        if case .unknown = answer { time.advance(by: limit) } else { time.advance(by: hookTakes) }
        return answer
    }

    func standBy(_ turns: [HookTurn]) async { log.hear(.standBy, turns.map(Self.words).joined(separator: ", ")) }

    func runInTurn(_ turn: HookTurn) async -> Bool {
        guard !turn.calls.isEmpty else { return false }
        log.hear(.turn, Self.words(turn))
        return turn.last != nil || releasesInTurn
    }

    func lastWordsSaid(_ words: LastWords, within limit: Duration) async -> Bool {
        time.advance(by: min(turnTakes, limit))
        return saysInTurn && turnTakes <= limit
    }

    func hear(_ call: HookCall, within limit: Duration) async -> HookResult {
        log.hear(.hookHeard, call.hook.name)
        return hooks[call.hook.name]?[.preFreeze]?.first ?? .done(HookReply())
    }

    private static func words(_ turn: HookTurn) -> String {
        (turn.calls.map(\.hook.name) + (turn.last == nil ? [] : ["steady"])).joined(separator: " ")
    }

    func thawAll() async throws(GuestFailure) { try obey(.thawAll) }

    func tidy(_ run: RunID, _ when: Tidying) async throws(GuestFailure) { try obey(when == .now ? .tidy : .tidyLater) }

    private func obey(_ what: Heard, _ detail: String = "") throws(GuestFailure) {
        log.hear(what, detail)
        if let failure = failing[what] { throw failure }
    }
}

struct ScriptedGuardian: Guardian {
    let log: Log
    var word: String?

    func stand() async throws(Failure) { try log.answer(.stood) }
    func arm(_ limit: Duration) throws(Failure) { try log.answer(.armed, limit.forPeople) }
    func dismiss() { log.hear(.dismissed) }
    func lastWord() async -> String? { word }
}
