// SPDX-License-Identifier: Apache-2.0

import JSON
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("A run as JSON")
struct RunJSONTests {
    @Test("a whole snapshot: every published field, in its published order")
    func success() throws { try Golden.expect(try JSONText.of(Examples.success()) + "\n", is: "run-success.json") }

    @Test("a run with applications: their positions, holds and artifacts")
    func prepared() throws { try Golden.expect(try JSONText.of(Examples.prepared()) + "\n", is: "run-prepared.json") }

    @Test("a manifest with applications reads back as it was written")
    func readBack() throws {
        let text = try JSONText.of(Examples.prepared())
        let again = try JSONValue(parsing: text).decode(RunReport.self)
        #expect(try JSONText.of(again) == text)
    }

    @Test("a run that failed has the same fields, null where there is nothing")
    func failed() throws { try Golden.expect(try JSONText.of(Examples.freezeFailed()) + "\n", is: "run-failed.json") }

    @Test("whatever is not known is there as null: no field comes and goes")
    func nulls() throws {
        var report = try Examples.success(description: nil)
        report.cut?.guestAt = nil
        report.cut?.skewMs = nil
        report.members[0].agent = nil
        report.members[0].freeze?.guestReported = .init(frozen: nil, thawed: nil)
        let json = try JSONValue(parsing: JSONText.of(report))
        let member = try #require(json["members"]?.array?.first)
        #expect(json["cut"]?["guestAt"] == .null && json["cut"]?["skewMs"] == .null)
        #expect(member["agent"] == .null && member["snapshot"]?["description"] == .null)
        #expect(member["freeze"]?["guestReported"]?["frozen"] == .null)
        #expect(member["phases"]?.array?.first?["detail"] == .null)
        report.cut = nil
        report.members[0].snapshot = nil
        report.members[0].freeze = nil
        let bare = try JSONValue(parsing: JSONText.of(report))
        #expect(bare["cut"] == .null)
        #expect(bare["members"]?.array?.first?["snapshot"] == .null)
        #expect(bare["members"]?.array?.first?["freeze"] == .null)
    }

    @Test("pretty or on one line it says the same, and the one line is one")
    func compact() throws {
        let report = try Examples.success()
        let line = try JSONText.of(report, pretty: false)
        #expect(!line.contains("\n"))
        #expect(try JSONValue(parsing: line) == JSONValue(parsing: JSONText.of(report)))
    }

    @Test("the other reports carry their schema first and every field")
    func others() throws {
        func names(_ value: some Encodable) throws -> [String] {
            try #require(try JSONValue(parsing: JSONText.of(value)).object).names
        }
        #expect(
            try names(PlanReport(Examples.plan(), schema: "stillpoint.plan/v1")) == [
                "schema", "domain", "asked", "now", "canBe", "exit", "agentVersion", "system", "disks", "excluded",
                "freeze", "notFreezable", "maxFreezeMs", "expedites", "applications",
                "findings",
            ])
        #expect(try names(DisksReport(Examples.facts(), allocated: [:])) == ["schema", "domain", "disks"])
        #expect(try names(ListReport(snapshots: [])) == ["schema", "snapshots", "abandoned", "tips"])
        #expect(
            try names(StatusReport(Examples.facts(), busy: nil, unfinished: [], current: nil, jobs: [])) == [
                "schema", "domain", "state", "agent", "freeze", "busy", "unfinished", "current", "jobs",
            ])
        #expect(
            try names(ThawReport(domain: .db01, thawed: nil, held: nil)) == [
                "schema", "domain", "thawed", "held", "would",
            ])
        #expect(
            try names(JobsReport(domain: .db01, jobs: [], cancelled: false)) == [
                "schema", "domain", "jobs", "cancelled", "isDryRun",
            ])
        let run = try names(try Examples.success())
        #expect(
            try names(try Examples.handover()) == run + [
                "exported", "manifest", "folder", "label", "until", "takenUp", "command", "commit",
            ])
        #expect(
            try names(try Examples.export()) == [
                "schema", "domain", "snapshot", "consistency", "way", "folder", "isDetached", "isDryRun", "disks",
            ])
        #expect(
            try names(EndReport(domain: .db01, use: nil, commit: nil)) == [
                "schema", "domain", "snapshot", "label", "commit", "isDryRun",
            ])
        #expect(
            try names(Examples.foreignRow) == [
                "domain", "uuid", "name", "run", "createdAt", "consistency", "disks", "growthBytes", "depth",
                "verified", "standing", "parent", "ours", "inLibvirt", "uses", "problem",
            ])
    }
}

@Suite("A run as shell variables")
struct RunEnvironmentTests {
    @Test("a whole snapshot")
    func success() throws { try Golden.expect(try Examples.success().environment, is: "run-success.env") }

    @Test("a snapshot that is handed over as flat files, with its label")
    func handover() throws { try Golden.expect(try Examples.handover().environment, is: "begin.env") }

    @Test("a run without a snapshot names no disk")
    func failed() throws {
        let text = Examples.freezeFailed().environment
        #expect(text.contains("STILLPOINT_CONSISTENCY='none'\n"))
        #expect(!text.contains("STILLPOINT_SNAPSHOT") && !text.contains("STILLPOINT_DISK"))
    }

    @Test(
        "a real shell's eval gives each value back byte for byte and runs none of it",
        arguments: [
            "/srv/a b/disk", "/srv/it's", "/srv/$(touch /tmp/never)", "/srv/`id`", "/srv/a\nb", "/srv/\"x\"", "/srv/'",
            "''", "'\\''",
            "/srv/größe-日本", "/srv/back\\slash", "/srv/a;reboot", "/srv/~*?[]", " leading", "trailing ", "$HOME", "!!",
        ])
    func eval(_ path: String) throws {
        var report = try Examples.success()
        report.members[0].snapshot?.disks[0].frozenImage = path
        report.members[0].domain.name = path
        let script =
            #"eval "$1" && printf '%s|%s|%s|%s' "$STILLPOINT_DISK_vda" "$STILLPOINT_DOMAIN" "$STILLPOINT_SNAPSHOT" "$#""#
        for shell in Set([Shell.posix, "/bin/sh", "/bin/bash"]) {
            let result = try Shell.run(script, [report.environment], with: shell)
            #expect(result.status == 0)
            #expect(result.output == "\(path)|\(path)|20261122-223105|1")
        }
    }
}
