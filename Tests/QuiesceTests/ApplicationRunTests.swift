// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("A run with applications")
struct ApplicationRunTests {
    func world(_ policies: HookPolicy?...) throws -> World {
        let names = ["postgresql", "mysql", "redis"]
        let applications = zip(names, policies).map { name, policy in
            Sample.application(name, policy: policy, paths: ["/var/lib/mysql/\(name)"])
        }
        return try World(Sample.facts(applications: applications))
    }

    func application(_ name: String, of report: RunReport) throws -> MemberReport.Application {
        try #require(report.members.first?.applications.first { $0.name == name })
    }

    @Test("prepares in order, locks in order right before the freeze, releases in reverse right after the thaw")
    func order() async throws {
        let world = try world(nil, nil)
        let report = try await world.run()
        #expect(report.exit == 0)
        #expect(report.required == .application)
        #expect(report.verdict == Verdict(consistency: .application))
        #expect(world.log.details(of: .hookPrepare) == ["postgresql", "mysql"])
        #expect(world.log.details(of: .hookLock) == ["postgresql", "mysql"])
        #expect(world.log.details(of: .hookRelease) == ["mysql taken", "postgresql taken"])
        let heard = world.log.heard
        let lock = try #require(heard.firstIndex(of: .turn))
        #expect(
            heard[lock...].prefix(13) == [
                .turn, .hookLock, .hookLock, .steady, .armed, .freeze, .cut, .thaw, .dismissed, .turn, .hookRelease,
                .hookRelease, .released,
            ])
        #expect(world.log.details(of: .standBy) == ["postgresql mysql steady, mysql postgresql"])
        #expect(world.log.details(of: .turn) == ["postgresql mysql steady", "mysql postgresql"])
        #expect(world.log.heard(.standBy, before: .turn))
        #expect(world.log.heard(.preparing, before: .hookPrepare))
        #expect(world.log.heard(.window, before: .hookLock))
        #expect(world.log.details(of: .released) == ["postgresql, mysql"])
        #expect(world.log.count(.tidy) == 1)
    }

    @Test("a hook that fails before the freeze and was asked for ends the run, undone, and is put down too")
    func failing() async throws {
        var world = try world(nil, .fail)
        world.guest.hooks = ["mysql": [.preFreeze: [.failed("no such table")]]]
        let report = try await world.run()
        #expect(report.exit == 20)
        #expect(report.error?.message == "pre-freeze of mysql failed: no such table")
        #expect(world.log.count(.freeze) == 0)
        #expect(world.log.details(of: .hookRelease) == ["mysql failed", "postgresql failed"])
        #expect(world.host.overlays.isEmpty)
        #expect(world.log.count(.tidy) == 1 && world.log.count(.dismissed) == 1)
    }

    @Test("a hook that fails in prepare and ends the run leaves nothing in the guest, and no guardian")
    func failingFirst() async throws {
        var world = try world(.fail)
        world.guest.hooks = ["postgresql": [.prepare: [.failed("no")]]]
        let report = try await world.run()
        #expect(report.exit == 20)
        #expect(world.log.count(.arm) == 0)
        #expect(world.log.count(.tidy) == 1 && world.log.count(.dismissed) == 1)
    }

    @Test("a hook that fails in prepare takes no lock, and what it left idle is put down")
    func failingPrepare() async throws {
        var world = try world(.degrade, .degrade)
        world.guest.hooks = ["postgresql": [.prepare: [.failed("checkpoint refused")]]]
        let report = try await world.run()
        #expect(world.log.details(of: .hookLock) == ["mysql"])
        #expect(world.log.details(of: .hookRelease) == ["mysql taken", "postgresql taken"])
        #expect(report.exit == 10)
        #expect(report.verdict == Verdict(consistency: .filesystem, reasons: ["postgresql: checkpoint refused"]))
    }

    @Test(
        "what prepare changed and nothing took back is told, whatever ended the run",
        arguments: [HookResult.done(HookReply()), .unknown("was ended"), .failed("the session ended")])
    func preparedAndStuck(prepared: HookResult) async throws {
        var world = try world(.fail, .fail)
        world.guest.hooks = [
            "postgresql": [.prepare: [prepared], .postThaw: [.failed("stays in backup")]],
            "mysql": [.prepare: [.failed("no")]],
        ]
        let report = try await world.run()
        #expect(report.exit == 20)
        #expect(try application("postgresql", of: report).status == .notReleased)
        let error = try #require(report.error)
        #expect(error.message.hasSuffix("the release of postgresql was not confirmed: stays in backup"))
        let isEnded = prepared != .done(HookReply())
        #expect(try application("mysql", of: report).status == (isEnded ? .skipped : .failed))
        // What its holder needs to try again is left to it for a while.
        #expect(world.log.count(.tidy) == 0 && world.log.count(.tidyLater) == 1)
    }

    @Test("nothing is said of a release where prepare was not even started")
    func unstarted() async throws {
        var world = try world(.fail)
        let result = HookResult.unstarted("was not started: the agent is gone")
        world.guest.hooks = ["postgresql": [.prepare: [result], .postThaw: [result]]]
        let report = try await world.run()
        #expect(report.exit == 20 && report.error?.message.contains("release") == false)
    }

    @Test(
        "one that was only discovered costs the level, not the snapshot",
        arguments: [
            HookResult.failed("it broke"), .busy("it broke"), .denied("it broke"), .unknown("it broke"),
        ])
    func degrading(result: HookResult) async throws {
        var world = try world(nil)
        world.guest.hooks = ["postgresql": [.preFreeze: [result]]]
        let report = try await world.run()
        #expect(report.exit == 10)
        #expect(report.verdict.consistency == .filesystem)
        #expect(report.verdict.reasons.first?.contains("it broke") == true)
        #expect(try application("postgresql", of: report).status == .failed)
        #expect(world.log.count(.hookRelease) == 1)
    }

    @Test("with application required nothing is frozen once a hook has failed")
    func required() async throws {
        var world = try world(.degrade)
        world.request.required = .application
        world.guest.hooks = ["postgresql": [.preFreeze: [.denied("peer authentication")]]]
        let report = try await world.run()
        #expect(report.exit == 12)
        #expect(world.log.count(.freeze) == 0)
        #expect(world.log.count(.hookRelease) == 1)
        #expect(world.host.overlays.isEmpty)
    }

    @Test("an ignored one is no part of the verdict")
    func ignoring() async throws {
        var world = try world(nil, .ignore)
        world.guest.hooks = ["mysql": [.preFreeze: [.failed("no")]]]
        let report = try await world.run()
        #expect(report.verdict == Verdict(consistency: .application))
        #expect(try application("mysql", of: report).reason == "no")
    }

    @Test("a lock that did not hold lowers the verdict")
    func lost() async throws {
        var world = try world(nil)
        world.guest.hooks = ["postgresql": [.postThaw: [.done(HookReply(held: false, lost: "its session was killed"))]]]
        let report = try await world.run()
        #expect(report.exit == 10)
        #expect(report.verdict.reasons == ["postgresql: its session was killed"])
        #expect(try application("postgresql", of: report).held == false)
    }

    @Test("a lock of which the guest knows nothing at the release did not hold, where the position rests on it")
    func forgotten() async throws {
        for (relation, exit): (Position.Relation, Int) in [(.exact, 10), (.atLeast, 0)] {
            var world = try world(nil)
            let position = Position(kind: "mariadb", relation: relation, fields: ["gtid": .text("0-1-2")])
            world.guest.hooks = ["postgresql": [.preFreeze: [.done(HookReply(position: position))]]]
            #expect(try await world.run().exit == exit)
        }
    }

    @Test("a release that is not confirmed is told by its own status, with the end of the lock")
    func stuck() async throws {
        var world = try world(nil, nil)
        world.guest.hooks = ["mysql": [.postThaw: [.failed("the client is gone")]]]
        let report = try await world.run()
        #expect(report.exit == 23)
        #expect(
            report.verdict.reasons == [
                "mysql: its release was not confirmed (the client is gone); its lock ends by itself within 15 s"
            ])
        #expect(world.log.details(of: .hookRelease) == ["mysql taken", "postgresql taken"])
        #expect(world.log.count(.tidy) == 0 && world.log.count(.tidyLater) == 1)
    }

    @Test("what the exit status is for is the first reason: the lock that may be held, before another's failure")
    func stuckFirst() async throws {
        var world = try world(.degrade, .degrade)
        world.guest.hooks = [
            "postgresql": [.prepare: [.failed("checkpoint refused")]],
            "mysql": [.postThaw: [.failed("the client is gone")]],
        ]
        let report = try await world.run()
        #expect(report.exit == 23 && report.verdict.reasons.count == 2)
        #expect(report.verdict.reasons.first?.hasPrefix("mysql: its release was not confirmed") == true)
    }

    @Test("a cut that failed is told to the hooks as unknown, one that was not sent as failed")
    func outcomes() async throws {
        var world = try world(nil)
        world.hypervisor.cutting = .failsInPlace(Failure(.snapshotFailed, "no"))
        _ = try await world.run()
        #expect(world.log.details(of: .hookRelease) == ["postgresql unknown"])
        var other = try self.world(nil)
        other.guest.freezing = .failure(GuestFailure(.refused, "no"))
        _ = try await other.run()
        #expect(other.log.details(of: .hookRelease) == ["postgresql failed"])
    }

    @Test(
        "an interruption between the locks releases what was locked",
        arguments: [Heard.hookPrepare, .hookLock, .freeze])
    func interrupted(at what: Heard) async throws {
        let world = try world(nil, nil)
        world.interrupt(at: what)
        let report = try await world.run()
        #expect(report.exit == 130)
        let begun = Set(world.log.details(of: .hookPrepare))
        #expect(world.log.count(.hookRelease) == begun.count)
        #expect(world.host.overlays.isEmpty)
    }

    @Test("positions and artifacts of both verbs reach the manifest, under names of their own")
    func papers() async throws {
        var world = try World(
            Sample.facts(applications: [
                Sample.application("postgresql", instance: "15/main", paths: ["/var/lib/mysql"])
            ]))
        let start = Position(kind: "postgresql", relation: .atLeast, fields: ["lsn": .text("0/3A1F2C8")])
        let label = HookReply.Artifact(name: "backup_label", bytes: [1, 2], sha256: "ab")
        world.guest.hooks = [
            "postgresql": [
                .preFreeze: [.done(HookReply(position: start))],
                .postThaw: [.done(HookReply(held: true, holdMs: 84, artifacts: [label]))],
            ]
        ]
        let report = try await world.run()
        let found = try application("postgresql", of: report)
        #expect(found.position == start)
        #expect(found.held == true)
        #expect(found.holdMs == 84)
        #expect(found.artifacts.map(\.name) == ["postgresql-15-main-backup_label"])
        #expect(world.log.details(of: .artifact) == ["postgresql-15-main-backup_label"])
    }

    @Test("what a hook gives again takes the place of what it gave, and two instances never share a name")
    func sameNames() async throws {
        var world = try World(
            Sample.facts(
                applications: ["a/b", "a-b"].map { (instance: String) in
                    Sample.application("postgresql", instance: instance, paths: ["/var/lib/mysql/\(instance)"])
                }))
        func given(_ byte: UInt8) -> HookResult {
            .done(HookReply(artifacts: [.init(name: "label", bytes: [byte], sha256: "\(byte)")]))
        }
        world.guest.hooks = ["postgresql": [.preFreeze: [given(1)], .postThaw: [given(2)]]]
        let report = try await world.run()
        let artifacts = try #require(report.members.first).applications.flatMap(\.artifacts)
        #expect(artifacts.map(\.name) == ["postgresql-a-b-label", "postgresql-a-b-label-2"])
        #expect(artifacts.map(\.sha256) == ["2", "2"])
        #expect(world.log.details(of: .artifact) == artifacts.map(\.name))
    }

    @Test("a drill does all but the cut and says what would have been reached")
    func drill() async throws {
        var world = try world(nil, nil)
        world.request.isDrill = true
        world.guest.hooks = ["mysql": [.postThaw: [.done(HookReply(held: true, holdMs: 95))]]]
        let report = try await world.run()
        #expect(report.exit == 0)
        #expect(report.schema == "stillpoint.drill/v1")
        #expect(report.verdict == Verdict(consistency: .application))
        #expect(report.members.first?.snapshot == nil)
        for verb in [Heard.stage, .cut, .register, .imageCheck, .catalogue] { #expect(world.log.count(verb) == 0) }
        #expect(world.log.details(of: .hookRelease) == ["mysql failed", "postgresql failed"])
        #expect(world.log.count(.thaw) == 1)
        #expect(world.log.details(of: .journalClosed) == ["done"])
    }

    @Test("after a freeze whose end is not proved the locks are released all the same")
    func unproved() async throws {
        var world = try world(nil)
        world.guest.thaws = [.failure(GuestFailure(.timedOut, "no answer"))]
        let report = try await world.run()
        #expect(report.exit == 30)
        #expect(world.log.count(.hookRelease) == 1)
    }
}
