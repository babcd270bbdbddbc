// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("The window", .timeLimit(.minutes(1)))
struct WindowTests {
    @Test("it is freeze, cut, thaw, and nothing else")
    func threeCalls() async throws {
        let world = try World()
        let result = await world.pass()
        #expect(world.log.everything == [.freeze, .cut, .thaw])
        #expect(world.log.details(of: .cut) == ["vda vdb"])
        #expect(result.frozen == 2 && result.thawed == 2)
        #expect(result.length == .milliseconds(63))
        #expect(result.cutAt == Sample.start.adding(milliseconds: 40))
    }

    @Test("only the planned filesystems are frozen, and the freeze has a second less than the window")
    func freezeCall() async throws {
        let world = try World()
        _ = await world.pass()
        #expect(world.log.details(of: .freeze) == ["/ /var/lib/mysql within 4 s"])
    }

    @Test("without a freeze there is the cut alone")
    func withoutFreeze() async throws {
        var world = try World()
        world.request.freezes = false
        let result = await world.pass()
        #expect(world.log.everything == [.cut])
        #expect(result.thaw == nil && result.frozen == nil)
        guard case .done = result.cut else { return #expect(Bool(false), "the cut was not made") }
    }

    @Test(
        "a freeze that failed in any way is thawed all the same, and nothing is cut",
        arguments: [
            GuestFailure.Kind.refused, .notConnected, .timedOut, .busy, .malformed, .unreachable,
        ])
    func freezeFailed(_ kind: GuestFailure.Kind) async throws {
        var world = try World()
        world.guest.freezing = .failure(GuestFailure(kind, "no"))
        let result = await world.pass()
        #expect(world.log.everything == [.freeze, .thaw])
        #expect(result.frozen == nil && result.thawed == 2)
        guard case .notSent = result.cut else { return #expect(Bool(false), "the cut was sent") }
    }

    @Test("somebody else's freeze is left alone: no thaw is sent")
    func foreignFreeze() async throws {
        var world = try World()
        world.guest.freezing = .failure(GuestFailure(.alreadyFrozen, "already frozen"))
        let result = await world.pass()
        #expect(world.log.everything == [.freeze])
        #expect(result.thawSent == nil)
    }

    @Test("a cut that hangs past the deadline does not delay the thaw")
    func hangingCut() async throws {
        var world = try World()
        world.hypervisor.cutting = .hangs
        let result = await world.pass()
        #expect(world.log.everything == [.freeze, .cut, .thaw])
        let sent = try #require(result.thawSent)
        let done = try #require(result.cutDone)
        #expect(sent < done)
        guard case .done = result.cut else { return #expect(Bool(false), "the late end of the cut was lost") }
    }

    @Test("a freeze that used up the window is not followed by a cut")
    func lateFreeze() async throws {
        var world = try World()
        world.guest.freezeTakes = .seconds(5)
        _ = await world.pass()
        #expect(world.log.everything == [.freeze, .thaw])
    }

    @Test("a run interrupted while it freezes thaws at once and cuts nothing")
    func interruptedFreeze() async throws {
        let world = try World()
        world.interrupt(at: .freeze)
        let result = await world.pass()
        #expect(world.log.everything == [.freeze, .thaw])
        #expect(result.thawed == 2)
    }

    @Test("a cut that failed is thawed")
    func failedCut() async throws {
        var world = try World()
        world.hypervisor.cutting = .failsInPlace(Failure(.snapshotFailed, "no"))
        let result = await world.pass()
        #expect(world.log.everything == [.freeze, .cut, .thaw])
        guard case .failed(let failure) = result.cut else { return #expect(Bool(false), "the failure was lost") }
        #expect(failure.message == "no")
    }

    @Test("cancelling the task that runs it neither keeps the guest frozen nor lets the thaw overtake the cut")
    func cancelled() async throws {
        let world = try World()
        let task = Task { await world.pass() }
        task.cancel()
        let result = await task.value
        #expect(world.log.everything == [.freeze, .cut, .thaw])
        #expect(result.thawed == 2)
        let sent = try #require(result.thawSent)
        let done = try #require(result.cutDone)
        #expect(done <= sent)
    }

    @Test("a run that does not freeze never says that it does")
    func saysNothingOfFreezing() async throws {
        var world = try World()
        #expect(try await world.run().exit == 0)
        #expect(world.log.details(of: .told).contains("began(Quiesce.Phase.freeze)"))
        world = try World()
        world.request.freezes = false
        #expect(try await world.run().exit == 0)
        #expect(world.log.details(of: .told).contains("began(Quiesce.Phase.cut)"))
        #expect(!world.log.details(of: .told).contains("began(Quiesce.Phase.freeze)"))
    }
}
