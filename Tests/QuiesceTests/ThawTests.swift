// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("Thaw")
struct ThawTests {
    private let log = Log()
    private let time = ScriptedTime()
    private let interruption = Interruption()

    private func thaw(_ answers: Result<Int, GuestFailure>..., takes: Duration = .milliseconds(3)) async -> Thaw.Outcome
    {
        var guest = ScriptedGuest(log: log, time: time)
        guest.thaws = answers
        guest.thawTakes = takes
        return await Thaw(guest: guest, time: time, interruption: interruption).untilProved()
    }

    @Test("one answer is proof, whatever it counts", arguments: [0, 2, 7])
    func firstAnswer(count: Int) async {
        #expect(await thaw(.success(count)) == .thawed(count))
        #expect(log.heard == [.thaw])
    }

    @Test("it asks again until the third attempt is answered")
    func thirdAttempt() async {
        let silence = Result<Int, GuestFailure>.failure(GuestFailure(.timedOut, "silence"))
        #expect(await thaw(silence, .failure(GuestFailure(.busy, "job")), .success(2)) == .thawed(2))
        #expect(log.heard == [.thaw, .thaw, .thaw])
    }

    @Test(
        "no kind of failure is taken for a thaw",
        arguments: [
            GuestFailure.Kind.refused, .alreadyFrozen, .notConnected, .timedOut, .busy, .malformed, .unreachable,
        ])
    func failures(_ kind: GuestFailure.Kind) async {
        let failure = GuestFailure(kind, "no")
        #expect(await thaw(.failure(failure)) == .unproved(failure))
        #expect(log.count(.thaw) > 1)
    }

    @Test("it gives up after two minutes, not before and not much later")
    func patience() async {
        _ = await thaw(.failure(GuestFailure(.notConnected, "gone")))
        #expect(time.elapsed >= Thaw.patience)
        #expect(time.elapsed < Thaw.patience + .seconds(10))
    }

    @Test("an agent that fails at once is not asked in a tight loop")
    func pauses() async {
        _ = await thaw(.failure(GuestFailure(.notConnected, "gone")), takes: .zero)
        #expect(log.count(.thaw) < 100)
    }

    @Test("a first interruption does not shorten it, a second one shortens it and never skips it")
    func interrupted() async {
        interruption.ask(.interrupted)
        _ = await thaw(.failure(GuestFailure(.notConnected, "gone")))
        #expect(time.elapsed >= Thaw.patience)
        let before = time.elapsed
        interruption.ask(.terminated)
        _ = await thaw(.failure(GuestFailure(.notConnected, "gone")))
        #expect(time.elapsed - before >= .seconds(10))
        #expect(time.elapsed - before < .seconds(30))
    }
}

@Suite("Interruption")
struct InterruptionTests {
    @Test("the first signal decides the status")
    func first() {
        let interruption = Interruption()
        #expect(interruption.status == nil)
        interruption.ask(.terminated)
        #expect(!interruption.isImpatient)
        interruption.ask(.interrupted)
        #expect(interruption.status == .terminated)
        #expect(interruption.isImpatient)
    }
}
