// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("What a person sees of a run")
struct RunTextTests {
    @Test("a whole snapshot: two disks, one left out, a description, the window in figures")
    func success() throws {
        try Golden.expect(try Examples.success().text(), is: "run-success.txt")
    }

    @Test("applications with their positions, one that failed, the hold in figures")
    func prepared() throws { try Golden.expect(try Examples.prepared().text(), is: "run-prepared.txt") }

    @Test("a drill tells what each hook took")
    func drilled() throws { try Golden.expect(try Examples.drilled().text(), is: "run-drill.txt") }

    @Test("the lines to paste for a replica or a restore")
    func recovery() throws { try Golden.expect(try Examples.prepared().recovery(), is: "recovery.txt") }

    @Test(
        "a position that does not look like one never becomes part of a statement",
        arguments: [
            "0-1-4'; DROP TABLE users; --", "$(reboot)", "a\nb", "`id`", "",
        ])
    func hostile(gtid: String) throws {
        var report = try Examples.prepared()
        report.members[0].applications[1].position?.fields["gtid"] = .text(gtid)
        report.members[0].applications[1].position?.fields["file"] = .text(gtid)
        report.members[0].applications[0].position?.fields["walSegment"] = .text(gtid)
        let text = report.recovery()
        #expect(gtid.isEmpty || !text.contains(gtid))
        #expect(!text.contains("gtid_slave_pos"))
    }

    /// The lines of one application alone.
    private func lines(
        _ kind: String, _ relation: Position.Relation, _ fields: [String: Position.Value],
        _ role: ApplicationFacts.Role = .primary
    ) throws -> String {
        var report = try Examples.prepared()
        report.members[0].applications.removeSubrange(2...)
        report.members[0].applications[0].status = .skipped
        report.members[0].applications[1].role = role
        report.members[0].applications[1].position = Position(kind: kind, relation: relation, fields: fields)
        return report.recovery()
    }

    @Test("a copy that may have recovered to more than was recorded is not told to apply that a second time")
    func atLeast() throws {
        let log: [String: Position.Value] = ["file": .text("binlog.000042"), "position": .number(1037)]
        var gtids = log
        gtids["gtid"] = .text("0-1-4711")
        #expect(try lines("mysql", .exact, gtids).contains("_FILE = 'binlog.000042', SOURCE_LOG_POS = 1037;\n"))
        for (kind, fields) in [("mysql", log), ("mysql", gtids), ("mariadb", log), ("mariadb", gtids)] {
            let text = try lines(kind, .atLeast, fields)
            #expect(!text.contains("1037") && !text.contains("4711"), "\(text)")
        }
        #expect(try lines("mysql", .atLeast, gtids).contains("SOURCE_AUTO_POSITION = 1;\n"))
        #expect(try lines("mysql", .atLeast, log).contains("-- SHOW BINARY LOGS"))
        #expect(try !lines("mysql", .atLeast, log).contains("CHANGE"))
        #expect(try lines("mariadb", .atLeast, gtids).contains("gtid_slave_pos = @@global.gtid_binlog_pos;\n"))
        #expect(try !lines("mariadb", .atLeast, log).contains("CHANGE"))
    }

    @Test("a MariaDB replica's copy keeps the position that it has", arguments: [Position.Relation.exact, .atLeast])
    func replica(relation: Position.Relation) throws {
        var fields: [String: Position.Value] = ["slaveGtid": .text("0-2-900")]
        for gtid in [nil, "0-1-4711"] {
            fields["gtid"] = gtid.map(Position.Value.text)
            let text = try lines("mariadb", relation, fields, .replica)
            #expect(text.contains("at the cut it was 0-2-900\n") && text.contains("MASTER_USE_GTID = slave_pos;"))
            #expect(!text.contains("SET GLOBAL") && !text.contains("4711"), "\(text)")
        }
        #expect(try lines("mariadb", .exact, fields, .primary).contains("SET GLOBAL gtid_slave_pos = '0-1-4711';"))
    }

    @Test("PostgreSQL below 12 takes them from recovery.conf", arguments: ["9.6.24", "11.22", "12.0", "15.18", nil])
    func recoveryConf(version: String?) throws {
        var report = try Examples.prepared()
        report.members[0].applications[0].version = version
        let text = report.recovery()
        let isOld = version == "9.6.24" || version == "11.22"
        #expect(text.contains("in $PGDATA/recovery.conf:\n  restore_command = ") == isOld)
        #expect(text.contains("recovery.signal") != isOld)
        #expect(text.contains("postgresql.conf") != isOld)
    }

    @Test("on a terminal the heading and the window's figures are bold, and nothing else")
    func bold() throws {
        let text = try Examples.success().text(.terminal)
        try Golden.expect(text.replacing("\u{1B}", with: "\\e"), is: "run-terminal.txt")
        let plain = text.replacing("\u{1B}[1m", with: "").replacing("\u{1B}[0m", with: "")
        #expect(try plain == Examples.success().text())
    }

    @Test("without a freeze: crash-consistent, with the reason")
    func crash() throws { try Golden.expect(try Examples.crash().text(), is: "run-crash.txt") }

    @Test("a required level that was missed: what was missing, and that the snapshot is gone")
    func undone() throws { try Golden.expect(Examples.undone().text(), is: "run-undone.txt") }

    @Test("a freeze that failed: no snapshot, the cause, and that the guest is thawed")
    func freezeFailed() throws { try Golden.expect(Examples.freezeFailed().text(), is: "run-freeze-failed.txt") }

    @Test("a guest that may still be frozen: that is the first thing said")
    func maybeFrozen() throws {
        let text = Examples.maybeFrozen().text()
        try Golden.expect(text, is: "run-maybe-frozen.txt")
        #expect(text.split(separator: "\n").first?.contains("MAY STILL BE FROZEN") == true)
    }

    @Test("a filesystem that could not be checked is named in full, not cut off at the end of its bar")
    func notChecked() throws {
        let detail = "2/3 clean, not checked: vdb (xfs): a frozen XFS has a dirty log, and nothing here can replay it"
        var report = try Examples.success()
        report.members[0].verification.filesystem = Check(.ok, detail)
        #expect(report.text().contains("\n  verified    \(detail)\n"))
        #expect(try !Examples.success().text().contains("verified"))
    }

    static let reports: [(String, @Sendable () throws -> RunReport)] = [
        ("success", { try Examples.success() }), ("crash", { try Examples.crash() }),
        ("undone", { Examples.undone() }), ("freeze failed", { Examples.freezeFailed() }),
        ("maybe frozen", { Examples.maybeFrozen() }),
    ]

    @Test("no line ends in a blank, no two gaps follow each other, and none stands at the end", arguments: reports)
    func tidy(_ report: (name: String, make: @Sendable () throws -> RunReport)) throws {
        let text = try report.make().text()
        #expect(text.hasSuffix("\n") && !text.hasSuffix("\n\n") && !text.contains("\n\n\n"))
        #expect(!text.split(separator: "\n").contains { $0.hasSuffix(" ") })
    }
}

@Suite("The timeline of a run")
struct TimelineTests {
    private func lines(_ phases: [PhaseReport], _ freeze: MemberReport.Freeze? = nil) throws -> [String] {
        let snapshot = try Examples.snapshot()
        let member = Examples.member(snapshot, freeze, phases)
        return Examples.report(member, .filesystem, .reached).text().split(separator: "\n").map(String.init)
    }

    private func bars(_ phases: [PhaseReport], _ freeze: MemberReport.Freeze? = nil) throws -> [String] {
        try lines(phases, freeze).filter { $0.contains("█") }
    }

    @Test("phases that took no time are still seen, one block each")
    func zero() throws {
        let bars = try bars([Examples.phase(.preflight, 0, 0), Examples.phase(.stage, 0, 0)])
        #expect(bars.map { $0.count { $0 == "█" } } == [1, 1])
    }

    @Test("a single phase fills the scale")
    func single() throws {
        #expect(try bars([Examples.phase(.stage, 7, 12)]).map { $0.count { $0 == "█" } } == [36])
    }

    @Test("a phase of a week leaves the others one block")
    func week() throws {
        let week = Int64(7 * 86_400_000)
        let bars = try bars(
            [Examples.phase(.preflight, 0, 1), Examples.phase(.prepare, 1, week), Examples.phase(.verify, week + 1, 1)])
        #expect(bars.map { $0.count { $0 == "█" } } == [1, 35, 1])
    }

    @Test("no phases, no bars")
    func none() throws { #expect(try bars([]).isEmpty) }

    @Test("the longest time there is does not trap")
    func endless() throws {
        #expect(try bars([Examples.phase(.preflight, 0, 1), Examples.phase(.prepare, .max - 5, .max)]).count == 2)
        #expect(try bars([Examples.phase(.preflight, .min, 1), Examples.phase(.prepare, .max - 5, 5)]).count == 2)
    }

    @Test("a bar never runs off its scale, and its line never past 100 columns, however long the cause of a failure is")
    func width() throws {
        let cause = String(repeating: "the guest said something long, ", count: 20)
        let phases =
            Phase.allCases.enumerated().map { index, phase in
                Examples.phase(phase, Int64(index) * 977, Int64(index * index) * 1013, cause, .failed)
            }
        for freeze in [nil, Examples.freeze(frozen: 3, thawed: 3, windowMs: 86_400_000)] {
            let bars = try bars(phases, freeze)
            #expect(bars.count >= 7)
            #expect(bars.allSatisfy { $0.count <= 100 })
        }
    }
}
