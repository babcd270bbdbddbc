// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

/// From the word for the locks to their release.
extension ApplicationRunTests {
    @Test("freezes as soon as the guest holds all locks, and hears the hooks when they are told to let go")
    func heardLater() async throws {
        var world = try world(nil, nil)
        world.guest.saysInTurn = true
        let position = Position(kind: "mysql", relation: .exact)
        world.guest.hooks = [
            "mysql": [
                .preFreeze: [.done(HookReply(position: position))],
                .postThaw: [.done(HookReply(held: true, holdMs: 180))],
            ]
        ]
        let report = try await world.run()
        #expect(report.verdict == Verdict(consistency: .application))
        let heard = world.log.heard
        let lock = try #require(heard.firstIndex(of: .turn))
        #expect(
            heard[lock...].prefix(12) == [
                .turn, .armed, .freeze, .cut, .thaw, .dismissed, .turn, .hookHeard, .hookHeard, .hookRelease,
                .hookRelease, .released,
            ])
        #expect(world.log.details(of: .hookHeard) == ["postgresql", "mysql"])
        #expect(world.log.details(of: .hookRelease) == ["mysql taken", "postgresql taken"])
        let application = try application("mysql", of: report)
        #expect(application.position == position && application.held == true && application.holdMs == 180)
        #expect(application.tookMs["pre-freeze"] != nil)
    }

    @Test(
        "a hook that has nothing good to say about the lock that it took lowers the verdict, and is let go",
        arguments: [HookResult.failed("no answer"), .unknown("no answer"), .busy("no answer")])
    func badWordLater(result: HookResult) async throws {
        var world = try world(.fail, nil)
        world.guest.saysInTurn = true
        world.guest.hooks = ["postgresql": [.preFreeze: [result]]]
        let report = try await world.run()
        #expect(report.exit == 10)
        #expect(report.verdict.consistency == .filesystem)
        #expect(report.verdict.reasons.first?.contains("no answer") == true)
        #expect(world.log.count(.hookRelease) == 2)
    }

    @Test("where the releases are not one turn, each lock is heard right before it is let go")
    func heardOneByOne() async throws {
        var world = try world(nil, nil)
        world.guest.saysInTurn = true
        world.guest.releasesInTurn = false
        let report = try await world.run()
        #expect(report.verdict == Verdict(consistency: .application))
        #expect(
            world.log.heard.filter { [.hookHeard, .hookRelease].contains($0) } == [
                .hookHeard, .hookRelease, .hookHeard, .hookRelease,
            ])
        #expect(world.log.details(of: .hookHeard) == ["mysql", "postgresql"])
    }

    @Test(
        "locks that a slow guest takes are waited for together for half of the hold, and heard one by one after that",
        arguments: [(6, true), (8, false)])
    func slowGuest(seconds: Int, areTogether: Bool) async throws {
        var world = try world(nil, nil)
        world.guest.saysInTurn = true
        world.guest.turnTakes = .seconds(seconds)
        let report = try await world.run()
        #expect(report.verdict == Verdict(consistency: .application))
        #expect((world.log.count(.hookHeard) > 0) == areTogether)
        #expect((world.log.count(.hookLock) > 0) != areTogether)
    }

    @Test("what is dirty is written out before the first lock, and not again under it")
    func writtenOutFirst() async throws {
        let world = try world(nil)
        _ = try await world.run()
        let heard = world.log.heard
        let lock = try #require(heard.firstIndex(of: .turn))
        #expect(heard[lock - 1] == .sync)
        #expect(heard[lock...].contains(.steady) && !heard[lock...].contains(.sync))
    }

    @Test("a stop between the locks and the freeze freezes nothing, and lets all of them go")
    func stoppedLater() async throws {
        var world = try world(nil, nil)
        world.guest.saysInTurn = true
        world.interrupt(at: .turn)
        let report = try await world.run()
        #expect(report.exit == 130 && world.log.count(.freeze) == 0)
        #expect(world.log.details(of: .hookRelease) == ["mysql failed", "postgresql failed"])
    }

    @Test("what is busy is asked again while the hold leaves time")
    func busy() async throws {
        var world = try world(.fail)
        let busy = HookResult.busy("a statement runs for 61 s")
        world.guest.hooks = ["postgresql": [.preFreeze: [busy, busy, .done(HookReply())]]]
        let report = try await world.run()
        #expect(report.exit == 0)
        #expect(world.log.count(.hookLock) == 3)
    }

    @Test("what stays busy is refused with its own words, before the hold is used up")
    func alwaysBusy() async throws {
        var world = try world(.fail)
        world.guest.hooks = ["postgresql": [.preFreeze: [.busy("a statement runs for 61 s")]]]
        let begin = world.time.now
        let report = try await world.run()
        #expect(report.exit == 20)
        #expect(report.error?.message.contains("a statement runs for 61 s") == true)
        #expect(begin.duration(to: world.time.now) < world.request.maxHold + .seconds(1))
    }
}
