// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("The applications of a plan")
struct ApplicationChoiceTests {
    private func plan(
        _ applications: ApplicationFacts..., change: (inout SnapshotRequest) throws -> Void = { _ in }
    ) throws -> MemberPlan {
        var request = try Sample.request()
        try change(&request)
        return MemberPlan(of: try Sample.facts(applications: applications), for: request)
    }

    @Test("the level asked for is application where a probe finds something, else filesystem")
    func asked() throws {
        #expect(try plan(Sample.application("redis", paths: ["/"])).asked == .application)
        #expect(try plan().asked == .filesystem)
        #expect(try plan(Sample.application("redis", state: .denied("no"), paths: ["/"])).asked == .application)
        #expect(try plan(Sample.application("redis", state: .stopped)).asked == .filesystem)
    }

    @Test("an application without its rights limits the snapshot, and refuses it where it was asked for")
    func denied() throws {
        let found = try plan(Sample.application("mysql", state: .denied("access denied"), paths: ["/"]))
        #expect(found.findings.weight(of: "application.unprepared") == .limits(.filesystem))
        #expect(found.foreseen == .filesystemOnly)
        let wanted = try plan(Sample.application("mysql", policy: .fail, state: .denied("access denied"), paths: ["/"]))
        #expect(wanted.findings.weight(of: "application.unprepared") == .refuses(.refused))
    }

    @Test("where nothing can be run in the guest, what is configured can be left to the guest's drop-ins")
    func noExec() throws {
        var agent = try Sample.agent(survey: nil)
        agent.missingCommands = ["guest-exec"]
        agent.applications = [Sample.application("mysql", policy: .fail, state: .unclear("nothing can be run"))]
        let facts = try Sample.facts(agent: agent)
        let plan = MemberPlan(of: facts, for: try Sample.request())
        #expect(plan.findings["application.unprepared"]?.fix.contains { $0.hasSuffix("--no-hooks") } == true)
        var request = try Sample.request()
        request.runsHooks = false
        #expect(MemberPlan(of: facts, for: request).foreseen == .reached)
    }

    @Test("files on a disk that is left out, and others on one that is not, refuse the run and name the disk")
    func split() throws {
        let both = Sample.application("postgresql", paths: ["/var/lib/mysql/pg", "/srv/wal"])
        let plan = try plan(both) { $0.selection = .only(try Sample.targets("vda")) }
        let finding = try #require(plan.findings["application.split"])
        #expect(finding.weight == .refuses(.refused))
        #expect(finding.text.contains("vdb"))
        #expect(plan.foreseen == .refused)
    }

    @Test("one that lies wholly elsewhere is left out without a loss of level")
    func uncovered() throws {
        let plan = try plan(Sample.application("mysql", paths: ["/var/lib/mysql"])) {
            $0.selection = .only(try Sample.targets("vda"))
        }
        #expect(plan.applications.isEmpty)
        #expect(plan.skippedApplications.map(\.reason) == ["its files lie on vdb, which is not part of the snapshot"])
        #expect(plan.asked == .filesystem)
        #expect(plan.foreseen == .reached)
    }

    @Test("files on a network filesystem or in memory are on no disk, whatever is chosen")
    func onNoDisk() throws {
        func plan(_ paths: String...) throws -> MemberPlan {
            var facts = try Sample.facts(applications: [Sample.application("postgresql", paths: paths)])
            guard case .answers(var report) = facts.agent else { throw Failure(.internalError, "no report") }
            report.survey?.otherMounts = [.init(mountpoint: "/var/lib/mysql/far", shownAs: "/…/far", type: "nfs4")]
            facts.agent = .answers(report)
            return MemberPlan(of: facts, for: try Sample.request())
        }
        #expect(try plan("/var/lib/mysql/farther").applications.count == 1)
        let wholly = try plan("/var/lib/mysql/far/data")
        #expect(wholly.applications.isEmpty && wholly.foreseen == .reached)
        #expect(
            wholly.skippedApplications.map(\.reason)
                == ["its files lie on /…/far (nfs4), which is not part of the snapshot"])
        let partly = try plan("/var/lib/mysql/data", "/var/lib/mysql/far")
        #expect(partly.findings["application.split"]?.text.contains("/…/far (nfs4)") == true)
        #expect(partly.foreseen == .refused)
    }

    @Test("a log on a disk that is mounted inside the data folder is part of the application")
    func mountedInside() throws {
        let whole = Sample.application("postgresql", paths: ["/var/lib"])
        #expect(try plan(whole).applications.count == 1)
        let plan = try plan(whole) { $0.selection = .only(try Sample.targets("vda")) }
        #expect(plan.findings["application.split"]?.text.contains("vdb") == true)
        #expect(plan.foreseen == .refused)
    }

    @Test("a share mounted inside the data folder splits it, memory does not", arguments: ["nfs4", "tmpfs"])
    func shareInside(type: String) throws {
        var facts = try Sample.facts(applications: [Sample.application("postgresql", paths: ["/var/lib/mysql"])])
        guard case .answers(var report) = facts.agent else { throw Failure(.internalError, "no report") }
        report.survey?.otherMounts = [.init(mountpoint: "/var/lib/mysql/pg_wal", shownAs: "pg_wal", type: type)]
        facts.agent = .answers(report)
        let plan = MemberPlan(of: facts, for: try Sample.request())
        #expect((plan.foreseen == .refused) == (type == "nfs4"))
        #expect((plan.findings["application.split"] != nil) == (type == "nfs4"))
    }

    @Test(
        "one that was asked for must be there, running and covered",
        arguments: [
            ApplicationFacts.State.absent, .stopped, .recovering,
        ])
    func wanted(state: ApplicationFacts.State) throws {
        #expect(try plan(Sample.application("redis", policy: .fail, state: state, paths: ["/"])).foreseen == .refused)
        #expect(try plan(Sample.application("redis", policy: .ignore, state: state, paths: ["/"])).foreseen == .reached)
    }

    @Test("--no-hooks asks for filesystem, and so does a guest without a freeze for crash")
    func withoutHooks() throws {
        let found = Sample.application("redis", paths: ["/"])
        #expect(try plan(found) { $0.runsHooks = false }.asked == .filesystem)
        #expect(try plan(found) { $0.runsHooks = false }.applications.isEmpty)
        #expect(
            try plan(found) {
                $0.runsHooks = false
                $0.freezes = false
            }.asked == .crash)
    }

    @Test("application that is required where there is none is refused")
    func nothingThere() throws {
        let plan = try plan { $0.required = .application }
        #expect(plan.findings.weight(of: "application.unavailable") == .refuses(.refused))
    }

    @Test("a path belongs to the mount point that is its longest beginning by whole names")
    func longest() throws {
        let beside = Sample.application("redis", paths: ["/var/lib/mysql-other"])
        let plan = try plan(beside) { $0.selection = .only(try Sample.targets("vda")) }
        #expect(plan.applications.map(\.label) == ["redis"])
    }
}
