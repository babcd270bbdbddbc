// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("A clone that is started from the frozen images")
struct CloneRunTests {
    private let log = Log()
    private let time = ScriptedTime()
    private let interruption = Interruption()
    private var host: ScriptedCloneHost
    private var request = CloneRun.Request()
    private let snapshot = MemberReport.Snapshot(name: "nightly", description: nil, disks: [], excluded: [])
    private static let lsn = Position(kind: "postgresql", relation: .atLeast, fields: ["lsn": .text("0/10")])

    init() {
        host = ScriptedCloneHost(log: log, time: time)
        host.found = [(.zero, Self.facts("postgresql"))]
        request.hooks = [Self.choice("postgresql"), Self.choice("mysql")]
    }

    private static func choice(_ name: String) -> HookChoice {
        HookChoice(Hook(name: name, origin: "built in", sha256: "", text: ""))
    }

    private static func facts(_ name: String, _ state: ApplicationFacts.State = .running) -> ApplicationFacts {
        ApplicationFacts(choice(name), state: state, version: "15")
    }

    private func prepared(_ names: String...) -> [MemberReport.Application] {
        names.map { MemberReport.Application(Self.facts($0), .prepared, position: Self.lsn) }
    }

    private func run(
        _ applications: [MemberReport.Application], on host: ScriptedCloneHost? = nil,
        _ request: CloneRun.Request? = nil
    ) async throws -> (check: Check, report: CloneReport) {
        let clones = CloneRun(
            on: host ?? self.host, request ?? self.request, time: time, interruption: interruption
        ) { [log] in log.hear(.told, $0) }
        return try await clones.execute(snapshot, applications, of: .random())
    }

    @Test("that boots and whose applications are whole and where they were is good, and is gone afterwards")
    func good() async throws {
        let (check, report) = try await run(prepared("postgresql"))
        #expect(check == Check(.ok, "1 application whole, booted in 40 s, recovered in 42 s"))
        #expect(report.bootMs == 40_000 && report.recoveryMs == 42_000)
        #expect(report.applications.map(\.check) == [Check(.ok, "well")])
        #expect(report.console.isEmpty && !report.kept)
        #expect(log.heard.first == .cloneSweep && log.heard.last == .cloneRemove)
    }

    @Test("whose application says that its data is not whole has failed")
    func broken() async throws {
        var host = host
        host.verifies["postgresql"] = [.done(HookReply(whole: false, detail: "pg_amcheck: page 7"))]
        let (check, report) = try await run(prepared("postgresql"), on: host)
        #expect(check == Check(.failed, "postgresql: pg_amcheck: page 7"))
        #expect(report.console == ["Kernel panic - not syncing"])
        #expect(log.count(.cloneRemove) == 1)
    }

    @Test("that recovered to another position has failed, whatever the hook says")
    func elsewhere() async throws {
        var host = host
        let early = Position(kind: "postgresql", relation: .atLeast, fields: ["lsn": .text("0/F")])
        host.verifies["postgresql"] = [.done(HookReply(position: early, whole: true, detail: "fine"))]
        let (check, _) = try await run(prepared("postgresql"), on: host)
        #expect(check.result == .failed && check.detail.contains("before the recorded 0/10"))
    }

    @Test("whose hook does not say whether the data is whole is not checked")
    func wordless() async throws {
        var host = host
        host.verifies["postgresql"] = [.done(HookReply(position: Self.lsn))]
        #expect(try await run(prepared("postgresql"), on: host).check.result == .notChecked)
    }

    @Test("that does not answer in time is not checked, and its console is shown")
    func neverBoots() async throws {
        var host = host
        host.boots = .seconds(10_000)
        let (check, report) = try await run(prepared("postgresql"), on: host)
        #expect(check == Check(.notChecked, "the clone's agent did not answer within 10 min 00 s"))
        #expect(report.console.count == 1 && report.bootMs == nil)
        #expect(log.count(.cloneRemove) == 1)
    }

    @Test("that stops by itself while it boots has failed; one that the host stops is not checked")
    func stops() async throws {
        var host = host
        host.states = [.running, .ended("it powered itself off, or crashed")]
        #expect(try await run(prepared("postgresql"), on: host).check.result == .failed)
        host.states = [.stuck("only 12 MiB are left in /var/tmp")]
        let (check, _) = try await run(prepared("postgresql"), on: host)
        #expect(check == Check(.notChecked, "the clone could not go on: only 12 MiB are left in /var/tmp"))
        #expect(log.count(.cloneRemove) == 2)
    }

    @Test("whose application is late is waited for until the system has settled")
    func late() async throws {
        var host = host
        host.found = [(.zero, Self.facts("postgresql", .recovering)), (.seconds(55), Self.facts("postgresql"))]
        host.found.reverse()
        #expect(try await run(prepared("postgresql"), on: host).check.result == .ok)
        host.found = []
        let (check, _) = try await run(prepared("postgresql"), on: host)
        #expect(check == Check(.failed, "postgresql: does not run in the clone"))
    }

    @Test(
        "has to have what ran at the cut, whatever became of its lock",
        arguments: [MemberReport.Application.Status.failed, .notReleased, .skipped])
    func whateverRan(_ status: MemberReport.Application.Status) async throws {
        var host = host
        host.found.append((.zero, Self.facts("mysql")))
        host.verifies["mysql"] = [.done(HookReply(whole: false, detail: "torn"))]
        let other = MemberReport.Application(Self.facts("mysql"), status, "its answer is lost")
        let (check, _) = try await run(prepared("postgresql") + [other], on: host)
        #expect(status == .skipped ? check.result == .ok : check == Check(.failed, "mysql: torn"))
    }

    @Test("that fills the host while its applications recover is given up")
    func fills() async throws {
        var host = host
        host.found = [(.zero, Self.facts("postgresql", .recovering))]
        host.states = Array(repeating: .running, count: 50) + [.stuck("only 12 MiB are left in /var/tmp")]
        let (check, _) = try await run(prepared("postgresql"), on: host)
        #expect(check == Check(.notChecked, "the clone could not go on: only 12 MiB are left in /var/tmp"))
        #expect(time.elapsed < .seconds(300) && log.count(.cloneRemove) == 1)
    }

    @Test("whose hook is busy is asked again")
    func busy() async throws {
        var host = host
        host.verifies["postgresql"] = [
            .busy("still loading"), .done(HookReply(position: Self.lsn, whole: true, detail: "loaded")),
        ]
        let (check, report) = try await run(prepared("postgresql"), on: host)
        #expect(check.result == .ok && report.applications.count == 1)
        #expect(log.count(.cloneVerify) == 2)
    }

    @Test("with one application that recovers for ever tells the others' results all the same")
    func oneHangs() async throws {
        var host = host
        host.found = [(.zero, Self.facts("postgresql")), (.zero, Self.facts("mysql", .recovering))]
        let (check, report) = try await run(prepared("postgresql", "mysql"), on: host)
        #expect(check == Check(.notChecked, "mysql: had not recovered within 10 min 00 s: it still recovers"))
        #expect(report.applications.map(\.check.result) == [.ok, .notChecked])
    }

    @Test("whose system starts an application for ever says what it is about")
    func neverSettles() async throws {
        var host = host
        host.found = []
        host.settles = .seconds(10_000)
        let (check, _) = try await run(prepared("mysql"), on: host)
        let why = "it does not run, and its system still starts mariadb.service"
        #expect(check == Check(.notChecked, "mysql: had not recovered within 10 min 00 s: \(why)"))
    }

    @Test("of a snapshot without applications is asked for what runs in it; with none, nothing is claimed")
    func nothingRecorded() async throws {
        let (check, report) = try await run([])
        #expect(check.result == .ok && report.applications.map(\.name) == ["postgresql"])
        var host = host
        host.found = []
        #expect(try await run([], on: host).check.result == .notChecked)
    }

    @Test("that cannot be started is not checked, with the reason")
    func notStarted() async throws {
        log.refuse(.cloneStart, Failure(.busy, "the host has 12 MiB of memory left"))
        let (check, _) = try await run(prepared("postgresql"))
        #expect(check == Check(.notChecked, "the clone was not started: the host has 12 MiB of memory left"))
        #expect(log.count(.cloneRemove) == 0)
    }

    @Test("is gone when somebody interrupts")
    func interrupted() async throws {
        log.cue(.cloneState) { [interruption] in interruption.ask(.interrupted) }
        await #expect(throws: Failure(.interrupted, "interrupted")) { try await run(prepared("postgresql")) }
        #expect(log.count(.cloneRemove) == 1)
    }

    @Test("stays when it is asked to, also when it did not get far")
    func kept() async throws {
        var (host, request) = (host, request)
        request.keeps = true
        #expect(try await run(prepared("postgresql"), on: host, request).report.kept)
        host.boots = .seconds(10_000)
        #expect(try await run(prepared("postgresql"), on: host, request).report.kept)
        #expect(log.count(.cloneKeep) == 2 && log.count(.cloneRemove) == 0)
    }
}
