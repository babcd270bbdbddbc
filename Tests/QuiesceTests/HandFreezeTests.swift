// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("Freeze and thaw by hand", .timeLimit(.minutes(1)))
struct HandFreezeTests {
    private func hand(_ world: World) -> HandFreeze {
        HandFreeze(
            world.facts.guest, control: world.guest, journal: world.journal, time: world.time,
            interruption: world.interruption)
    }

    private func freeze(_ world: World) async throws -> FreezeReport {
        try await hand(world).freeze(
            world.plan, as: #require(RunID("0123456789abcdef0123456789abcdef")), lease: .seconds(30))
    }

    private func known(
        isFrozen: Bool?, power: GuestFacts.Power = .running, holder: String? = nil
    ) -> HandFreeze.Thawable {
        .init(power: power, isFrozen: isFrozen, holder: holder)
    }

    @Test("the lease is running inside the guest before anything is frozen")
    func order() async throws {
        let world = try World()
        let report = try await freeze(world)
        #expect(world.log.heard == [.rescue, .journalOpened, .sync, .arm, .steady, .freezingByHand, .freeze])
        #expect(world.log.details(of: .steady) == ["30 s"])
        #expect(report.frozen == 2)
        #expect(report.mountpoints == ["/", "/var/lib/mysql"])
    }

    @Test("without guest-exec nothing could end the freeze, so it is refused")
    func noExec() async throws {
        var agent = try Sample.agent(survey: nil)
        agent.missingCommands = ["guest-exec"]
        let world = try World(Sample.facts(agent: agent))
        let failure = try await #require(throws: Failure.self) { try await freeze(world) }
        #expect(failure.status == .refused)
        #expect(world.log.heard.isEmpty)
    }

    @Test("a lease that cannot be started means no freeze")
    func noLease() async throws {
        var world = try World()
        world.guest.failing = [.steady: GuestFailure(.refused, "no")]
        let failure = try await #require(throws: Failure.self) { try await freeze(world) }
        #expect(failure.status == .refused)
        #expect(world.log.count(.freeze) == 0)
        #expect(world.log.details(of: .journalClosed) == ["undone"])
    }

    @Test("any doubt about the freeze ends in a thaw", arguments: [0, 1, 3])
    func doubtfulCount(_ count: Int) async throws {
        var world = try World()
        world.guest.freezing = .success(count)
        let failure = try await #require(throws: Failure.self) { try await freeze(world) }
        #expect(failure.status == .freezeFailed)
        #expect(world.log.heard(.thaw, before: .disarm))
    }

    @Test("a freeze without an answer is thawed and is 21")
    func timedOut() async throws {
        var world = try World()
        world.guest.freezing = .failure(GuestFailure(.timedOut, "silence"))
        let failure = try await #require(throws: Failure.self) { try await freeze(world) }
        #expect(failure.status == .freezeFailed)
        #expect(world.log.count(.thaw) == 1)
    }

    @Test("a freeze that comes when its lease is over would be ended by nobody, and is thawed")
    func tooLate() async throws {
        var world = try World()
        world.guest.freezeTakes = .seconds(30)
        let failure = try await #require(throws: Failure.self) { try await freeze(world) }
        #expect(failure.status == .freezeFailed)
        #expect(failure.message.contains("it took longer than its lease"))
        #expect(world.log.heard(.thaw, before: .disarm))
    }

    @Test("another's freeze is not thawed by us, and our lease will not thaw it later")
    func foreignFreeze() async throws {
        var world = try World()
        world.guest.freezing = .failure(GuestFailure(.alreadyFrozen, "already frozen"))
        let failure = try await #require(throws: Failure.self) { try await freeze(world) }
        #expect(failure.status == .refused)
        #expect(world.log.count(.thaw) == 0)
        #expect(world.log.count(.disarm) == 1)
    }

    @Test("an interruption after the lease began ends the lease and freezes nothing")
    func interruptedLease() async throws {
        let world = try World()
        world.interrupt(at: .steady, .terminated)
        let failure = try await #require(throws: Failure.self) { try await freeze(world) }
        #expect(failure.status == .terminated)
        #expect(world.log.count(.freeze) == 0)
        #expect(world.log.count(.disarm) == 1)
    }

    @Test("an interruption during the freeze thaws")
    func interruptedFreeze() async throws {
        let world = try World()
        world.interrupt(at: .freeze)
        let failure = try await #require(throws: Failure.self) { try await freeze(world) }
        #expect(failure.status == .interrupted)
        #expect(world.log.count(.thaw) == 1)
    }

    @Test("a thaw that never answers is 30 with the guest's name")
    func maybeFrozen() async throws {
        var world = try World()
        world.guest.freezing = .success(1)
        world.guest.thaws = [.failure(GuestFailure(.timedOut, "silence"))]
        let failure = try await #require(throws: Failure.self) { try await freeze(world) }
        #expect(failure.status == .maybeFrozen)
        #expect(failure.message.contains("db01"))
        #expect(world.log.count(.journalClosed) == 0)
    }

    @Test("a freeze that is not ours is thawed only when told to")
    func foreignThaw() async throws {
        let world = try World()
        let failure = try await #require(throws: Failure.self) {
            try await hand(world).thaw(known(isFrozen: true), foreign: false)
        }
        #expect(failure.status == .refused)
        #expect(failure.hint?.contains("--foreign") == true)
        #expect(world.log.count(.thaw) == 0)
        #expect(try await hand(world).thaw(known(isFrozen: true), foreign: true).thawed == 2)
    }

    @Test("where nothing is frozen nothing is sent")
    func nothingFrozen() async throws {
        let world = try World()
        #expect(try await hand(world).thaw(known(isFrozen: false), foreign: false).thawed == nil)
        #expect(world.log.count(.thaw) == 0)
    }

    @Test(
        "our own freeze is thawed whatever the agent believes, and the count says whether it held",
        arguments: [
            (2, true), (1, false), (0, false),
        ])
    func ownThaw(count: Int, held: Bool) async throws {
        var world = try World()
        _ = try await freeze(world)
        world.guest.thaws = [.success(count)]
        let report = try await hand(world).thaw(known(isFrozen: false), foreign: false)
        #expect(report.thawed == count)
        #expect(report.held == held)
        let rest: [Heard] = count == 1 ? [.thawAll] : []
        #expect(Array(world.log.heard.drop { $0 != .thaw }) == [.thaw, .disarm] + rest + [.tidy, .journalClosed])
    }

    @Test("a run that was killed with applications held is thawed, and left to whoever lets them go")
    func heldApplications() async throws {
        let world = try World(Sample.facts(applications: [Sample.application("postgresql")]))
        let prepared = PreparedHook(MemberPlan.Application(Sample.application("postgresql")))
        let run = try #require(RunID("0123456789abcdef0123456789abcdef"))
        try await world.journal.open(run, for: world.facts.guest, named: "drill", at: world.time.wall)
        for step in [JournalStep.preparing(hooks: [prepared]), .window(mountpoints: ["/"], overlays: [])] {
            try await world.journal.record(step, of: run, at: world.time.wall)
        }
        #expect(try await hand(world).thaw(known(isFrozen: true), foreign: false).thawed == 2)
        #expect(world.log.heard.suffix(3) == [.thaw, .disarm, .thawed])
        let left = try #require(try await world.journal.unfinished(of: world.facts.guest).first)
        #expect(!left.mayHaveFrozen && left.hooks == [prepared])
    }

    @Test("a journal that cannot be read does not stand between the operator and the thaw")
    func unreadableJournal() async throws {
        let world = try World()
        world.log.refuse(.unfinished, Failure(.internalError, "database is malformed"))
        #expect(try await hand(world).thaw(known(isFrozen: true), foreign: true).thawed == 2)
    }

    @Test("a journal that cannot be closed does not hide that the guest is thawed")
    func unwritableJournal() async throws {
        let world = try World()
        _ = try await freeze(world)
        world.log.refuse(.journalClosed, Failure(.internalError, "disk full"))
        #expect(try await hand(world).thaw(known(isFrozen: true), foreign: false).thawed == 2)
    }

    @Test("an agent that does not say leaves it open whether the guest is frozen")
    func silentAgent() async throws {
        let world = try World()
        let failure = try await #require(throws: Failure.self) {
            try await hand(world).thaw(known(isFrozen: nil), foreign: false)
        }
        #expect(failure.status == .maybeFrozen && failure.hint?.contains("--foreign") == true)
        #expect(world.log.count(.thaw) == 0)
    }

    @Test("a connection that could not be tested is no reason not to try")
    func noRescue() async throws {
        let world = try World()
        _ = try await freeze(world)
        world.log.refuse(.rescue, Failure(.refused, "the agent is busy"))
        #expect(try await hand(world).thaw(known(isFrozen: nil), foreign: false).thawed == 2)
    }

    @Test("a guest that is off has nothing frozen; one that is paused cannot be reached")
    func power() async throws {
        let world = try World()
        _ = try await freeze(world)
        #expect(try await hand(world).thaw(known(isFrozen: nil, power: .shutOff), foreign: false).thawed == nil)
        let failure = try await #require(throws: Failure.self) {
            try await hand(world).thaw(known(isFrozen: nil, power: .paused("by its user")), foreign: true)
        }
        #expect(failure.status == .maybeFrozen && failure.hint?.contains("virsh resume") == true)
        #expect(world.log.count(.thaw) == 0)
    }

    @Test("of a run that is at work the guest is thawed, and the rest is its own")
    func liveRun() async throws {
        let world = try World()
        _ = try await freeze(world)
        let report = try await hand(world).thaw(known(isFrozen: true, holder: "snapshot, process 7"), foreign: false)
        #expect(report.thawed == 2)
        #expect(world.log.heard.suffix(2) == [.rescue, .thaw])
    }

    @Test("a dry run says whose freeze would be thawed, and sends nothing")
    func dryRun() async throws {
        let world = try World()
        func would(isFrozen: Bool, foreign: Bool) async throws -> ThawReport.Owner? {
            try await hand(world).thaw(known(isFrozen: isFrozen), foreign: foreign, isDryRun: true).would
        }
        #expect(try await would(isFrozen: false, foreign: false) == nil)
        #expect(try await would(isFrozen: true, foreign: true) == .foreign)
        await #expect(throws: Failure.self) { try await would(isFrozen: true, foreign: false) }
        _ = try await freeze(world)
        #expect(try await would(isFrozen: true, foreign: false) == .ours)
        #expect(world.log.count(.thaw) == 0 && world.log.count(.disarm) == 0)
    }
}
