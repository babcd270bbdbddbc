// SPDX-License-Identifier: Apache-2.0

import Quiesce

extension GuestControl {
    var withFailpoints: any GuestControl {
        #if FAILPOINTS
        FailingGuest(port: self)
        #else
        self
        #endif
    }
}

#if FAILPOINTS
private struct FailingGuest: GuestControl {
    let port: any GuestControl

    func prepareRescue() async throws(Failure) {
        try await Failpoint.around("guest.prepareRescue", Failpoint.broken) { () async throws(Failure) in
            try await port.prepareRescue()
        }
    }

    func clockOffset() async throws(GuestFailure) -> ClockOffset {
        try await Failpoint.around("guest.clockOffset", Failpoint.unanswered) { () async throws(GuestFailure) in
            try await port.clockOffset()
        }
    }

    func sync(_ mountpoints: [String], within limit: Duration) async throws(GuestFailure) {
        try await Failpoint.around("guest.sync", Failpoint.unanswered) { () async throws(GuestFailure) in
            try await port.sync(mountpoints, within: limit)
        }
    }

    func arm(
        _ mountpoints: [String], longStop: Duration, expedites: Bool
    ) async throws(GuestFailure) -> DeadMan {
        try await Failpoint.around("guest.arm", Failpoint.unanswered) { () async throws(GuestFailure) in
            try await port.arm(mountpoints, longStop: longStop, expedites: expedites)
        }
    }

    func steady(_ words: LastWords) async throws(GuestFailure) {
        try await Failpoint.around("guest.steady", Failpoint.unanswered) { () async throws(GuestFailure) in
            try await port.steady(words)
        }
    }

    func disarm(_ run: RunID) async throws(GuestFailure) -> String? {
        try await Failpoint.around("guest.disarm", Failpoint.unanswered) { () async throws(GuestFailure) in
            try await port.disarm(run)
        }
    }

    func run(_ call: HookCall, within limit: Duration) async -> HookResult {
        let name = "hook.\(call.hook.name).\(call.verb.rawValue)"
        if Failpoint.pass(name, .before) { return .unknown("failpoint before \(name)") }
        let result = await port.run(call, within: limit)
        return Failpoint.pass(name, .after) ? .unknown("failpoint after \(name)") : result
    }

    func standBy(_ turns: [HookTurn]) async {
        if Failpoint.pass("guest.standBy", .before) { return }
        await port.standBy(turns)
        _ = Failpoint.pass("guest.standBy", .after)
    }

    func runInTurn(_ turn: HookTurn) async -> Bool {
        let name = "guest.turn.\(turn.calls.first?.verb.rawValue ?? "none")"
        if Failpoint.pass(name, .before) { return false }
        let isTold = await port.runInTurn(turn)
        return Failpoint.pass(name, .after) ? false : isTold
    }

    func lastWordsSaid(_ words: LastWords, within limit: Duration) async -> Bool {
        if Failpoint.pass("guest.lastWords", .before) { return false }
        let said = await port.lastWordsSaid(words, within: limit)
        return Failpoint.pass("guest.lastWords", .after) ? false : said
    }

    func hear(_ call: HookCall, within limit: Duration) async -> HookResult {
        let name = "hook.\(call.hook.name).heard"
        if Failpoint.pass(name, .before) { return .unknown("failpoint before \(name)") }
        let result = await port.hear(call, within: limit)
        return Failpoint.pass(name, .after) ? .unknown("failpoint after \(name)") : result
    }

    func thawAll() async throws(GuestFailure) {
        try await Failpoint.around("guest.thawAll", Failpoint.unanswered) { () async throws(GuestFailure) in
            try await port.thawAll()
        }
    }

    func tidy(_ run: RunID, _ when: Tidying) async throws(GuestFailure) {
        try await Failpoint.around("guest.tidy", Failpoint.unanswered) { () async throws(GuestFailure) in
            try await port.tidy(run, when)
        }
    }

    func freeze(_ mountpoints: [String], timeout: Duration) async throws(GuestFailure) -> Int {
        try await Failpoint.around("guest.freeze", Failpoint.unanswered) { () async throws(GuestFailure) in
            try await port.freeze(mountpoints, timeout: timeout)
        }
    }

    func thaw(timeout: Duration) async throws(GuestFailure) -> Int {
        try await Failpoint.around("guest.thaw", Failpoint.unanswered) { () async throws(GuestFailure) in
            try await port.thaw(timeout: timeout)
        }
    }
}
#endif
