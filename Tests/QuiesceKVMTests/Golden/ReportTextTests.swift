// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("What a person sees of plan, disks, list, status, commit, verify, freeze and thaw")
struct ReportTextTests {
    private func expectTidy(_ text: String, is name: String, _ place: SourceLocation = #_sourceLocation) throws {
        try Golden.expect(text, is: name, place)
        #expect(!text.split(separator: "\n").contains { $0.hasSuffix(" ") }, sourceLocation: place)
        #expect(text.hasSuffix("\n") && !text.hasSuffix("\n\n"), sourceLocation: place)
    }

    @Test("a plan that can be carried out")
    func plan() throws { try expectTidy(try Examples.plan().text(), is: "plan.txt") }

    private func troubled() throws -> MemberPlan {
        try Examples.plan { request, facts in
            request.selection = .only([try Examples.target("vda")])
            request.freezes = true
            facts.disks[0].cache = "unsafe"
            facts.disks[1].blockJob = "activeCommit"
            facts.checkpoints = 1
            facts.freeBytes = ["/srv/kvm": 1 << 20]
        }
    }

    @Test("a snapshot that begin shows, and one that is exported on a socket")
    func handover() throws {
        try expectTidy(try Examples.handover().text(), is: "begin.txt")
        try expectTidy(try Examples.export().text(), is: "export.txt")
    }

    @Test("a copy and a restored guest, made and to be made")
    func copies() throws {
        try expectTidy(try Examples.copy().text(), is: "copy.txt")
        try expectTidy(try Examples.copy(isDryRun: true).text(), is: "copy-dry-run.txt")
        try expectTidy(try Examples.restored().text(), is: "restore.txt")
        try expectTidy(try Examples.restored(isDryRun: true).text(), is: "restore-dry-run.txt")
    }

    @Test("a copy and a restored guest as JSON")
    func copiesAsJSON() throws {
        try Golden.expect(try JSONText.of(Examples.copy()) + "\n", is: "copy.json")
        try Golden.expect(try JSONText.of(Examples.restored()) + "\n", is: "restore.json")
    }

    @Test("nothing to end and nothing to stop are told as such")
    func nothingOpen() {
        #expect(EndReport(domain: .db01, use: nil, commit: nil).text() == "db01   nothing is open\n")
        #expect(StopReport([], isDryRun: false).text() == "no export to stop\n")
    }

    @Test("a plan with obstacles: the worst first, each with its fix")
    func troubledPlan() throws { try expectTidy(try troubled().text(), is: "plan-troubled.txt") }

    @Test("a plan without a freeze")
    func unfrozenPlan() throws {
        try expectTidy(try Examples.plan { request, _ in request.freezes = false }.text(), is: "plan-no-freeze.txt")
    }

    @Test("the doctor's word on a healthy guest")
    func healthy() throws { try expectTidy(try Examples.plan().diagnosis(), is: "doctor-healthy.txt") }

    @Test("the doctor's word on a guest with obstacles")
    func diagnosis() throws { try expectTidy(try troubled().diagnosis(), is: "doctor-troubled.txt") }

    @Test("the doctor's word on a guest without an agent")
    func noAgent() throws {
        let plan = try Examples.plan { _, facts in facts.agent = .noChannel }
        try expectTidy(plan.diagnosis(), is: "doctor-no-agent.txt")
    }

    @Test("the doctor's word on a guest that is off")
    func off() throws {
        let plan = try Examples.plan { _, facts in (facts.power, facts.agent) = (.shutOff, .unasked) }
        try expectTidy(plan.diagnosis(), is: "doctor-off.txt")
    }

    @Test("disks: chain, growth on the host, filesystems, a drive without a medium, a quarrel")
    func disks() throws {
        var facts = try Examples.facts()
        facts.disks[0].savedImage = "/srv/kvm/other.qcow2"
        let report = DisksReport(
            facts, allocated: ["/srv/kvm/db01-root.qcow2": 23 << 30, "/srv/kvm/db01-data.monday": 196 << 10])
        try expectTidy(report.text(), is: "disks.txt")
    }

    @Test("list: ours as they stand, and what only libvirt knows")
    func list() throws {
        func row(_ name: String, _ consistency: Consistency, _ standing: ListReport.Standing, _ growth: Int64?) throws
            -> ListReport.Row
        {
            let entry = CatalogueEntry(
                run: .random(), guest: .db01, name: name, createdAt: Examples.start, consistency: consistency,
                fate: .kept)
            var row = ListReport.Row(entry, disks: 2)
            (row.standing, row.growthBytes, row.inLibvirt) = (standing, growth, standing != .partly)
            return row
        }
        let report = ListReport(snapshots: [
            try row("before-upgrade", .filesystem, .below, 12 << 30),
            try row("20261122-223105", .crash, .current, 196 << 10),
            try row("torn", .filesystem, .partly, nil), Examples.foreignRow,
        ])
        try expectTidy(report.text(), is: "list.txt")
        #expect(ListReport(snapshots: []).text() == "no snapshots\n")
    }

    @Test("status: a guest with a run that did not end and a job; a run that is still at work did not break off")
    func status() throws {
        let run = UnfinishedRun(
            run: .random(), guest: .db01, name: "nightly", startedAt: Examples.start,
            steps: [.staging(overlays: ["/srv/kvm/x"]), .window(mountpoints: ["/"], overlays: ["/srv/kvm/x"])])
        let byHand = UnfinishedRun(
            run: .random(), guest: .db01, name: "freeze", startedAt: Examples.start,
            steps: [.freezingByHand(mountpoints: ["/"])])
        func status(busy: String?) throws -> StatusReport {
            StatusReport(
                try Examples.facts(), busy: busy, unfinished: [run, byHand], current: "nightly",
                jobs: [.init(target: try Examples.target("vdb"), kind: "activeCommit", done: 3 << 30, total: 12 << 30)])
        }
        try expectTidy(try status(busy: nil).text(), is: "status.txt")
        try expectTidy(try status(busy: "process 4711: freeze db01").text(), is: "status-busy.txt")
    }

    @Test("status: a guest at rest")
    func rest() throws {
        var facts = try Examples.facts()
        facts.agent = .notConnected
        let report = StatusReport(facts, busy: nil, unfinished: [], current: nil, jobs: [])
        try expectTidy(report.text(), is: "status-rest.txt")
    }

    @Test("list --tree: what stands on what, where the guest writes, and what a revert left")
    func tree() throws {
        let report = try Examples.branched()
        try expectTidy(report.tree(), is: "list-tree.txt")
        try expectTidy(report.text(), is: "list-branched.txt")
        #expect(ListReport(snapshots: []).tree() == "no snapshots\n")
    }

    @Test("prune: what went, what stays and why; and nothing to do")
    func prune() throws {
        var report = CommitReport(
            schema: "stillpoint.prune/v1", domain: .db01, snapshots: ["old"], abandoned: ["left"],
            kept: [.init(name: "older", reason: "it is exported")],
            disks: [
                Merge(
                    target: try Examples.target("vda"), top: "/srv/kvm/db01-root.old", base: "/srv/kvm/db01-root.qcow2",
                    isHead: false)
            ], removed: ["/srv/kvm/db01-root.old", "/srv/kvm/db01-root.left"], tookMs: 1200, isDryRun: false)
        try expectTidy(report.text(), is: "prune.txt")
        (report.snapshots, report.abandoned, report.disks, report.removed) = ([], [], [], [])
        try expectTidy(report.text(), is: "prune-nothing.txt")
    }

    @Test("revert: what the guest uses now, what was left, and how to go back")
    func revert() throws {
        var report = RevertReport(
            domain: .db01, snapshot: "before-upgrade", undo: false,
            disks: [
                .init(
                    target: try Examples.target("vda"), left: "/srv/kvm/db01-root.20261122-223105",
                    image: "/srv/kvm/db01-root.revert-1a2b3c4d", frozenImage: "/srv/kvm/db01-root.qcow2")
            ], untouched: [try Examples.target("vdb")], abandoned: ["20261122-223105"], resumed: [], state: .running,
            tookMs: 4210, isDryRun: false, notes: [])
        try expectTidy(report.text(), is: "revert.txt")
        (report.isDryRun, report.undo, report.state) = (true, true, .shutOff)
        try expectTidy(report.text(), is: "revert-undo-dry-run.txt")
    }

    @Test("commit: what was merged where, and what is gone; and what would be")
    func commit() throws {
        var report = CommitReport(
            domain: .db01, snapshots: ["20261122-223105"], abandoned: [], kept: [],
            disks: [
                Merge(
                    target: try Examples.target("vda"), top: "/srv/kvm/db01-root.20261122-223105",
                    base: "/srv/kvm/db01-root.qcow2"),
                Merge(
                    target: try Examples.target("vdb"), top: "/srv/kvm/db01-data.20261122-223105",
                    base: "/srv/kvm/db01-data.qcow2"),
            ], removed: ["/srv/kvm/db01-root.20261122-223105", "/srv/kvm/db01-data.20261122-223105"], tookMs: 8412,
            isDryRun: false)
        try expectTidy(report.text(), is: "commit.txt")
        report.isDryRun = true
        try expectTidy(report.text(), is: "commit-dry-run.txt")
    }

    @Test("jobs: running, cancelled, none")
    func jobs() throws {
        let job = StatusReport.Job(target: try Examples.target("vda"), kind: "activeCommit", done: 0, total: 0)
        #expect(
            JobsReport(domain: .db01, jobs: [job], cancelled: false).text()
                == "vda   activeCommit   0 B of 0 B   running\n")
        #expect(
            JobsReport(domain: .db01, jobs: [job], cancelled: true).text()
                == "vda   activeCommit   0 B of 0 B   cancelled, the overlay stays\n")
        #expect(
            JobsReport(domain: .db01, jobs: [job], cancelled: false, isDryRun: true).text()
                == "vda   activeCommit   0 B of 0 B   would be cancelled, the overlay would stay\n")
        #expect(JobsReport(domain: .db01, jobs: [], cancelled: false).text() == "no block job on db01\n")
    }

    @Test("verify: each filesystem with what its image says")
    func verification() throws {
        func proof(_ place: String, _ kind: String, _ frozen: Bool?, _ check: Check) -> FilesystemProof {
            FilesystemProof(
                place: place, targets: ["vda"], kind: kind, uuid: nil, frozen: frozen, check: check)
        }
        var report = VerificationReport(
            domain: .db01, snapshot: "20261122-223105", run: "0123456789abcdef0123456789abcdef",
            consistency: .filesystem, chain: Check(.ok, "2 disks, QEMU and both definitions agree"),
            filesystem: Check(.ok, "2/3 clean, 1 not checked"),
            filesystems: [
                proof("vda1", "ext4", true, Check(.ok, "clean")),
                proof("vgdata/lvdata", "btrfs", true, Check(.ok, "clean")),
                proof("vdb", "xfs", nil, Check(.notChecked, "an XFS log is dirty when frozen")),
            ])
        try expectTidy(report.text(), is: "verify.txt")
        report.filesystem = Check(.failed, "vda1: the journal needs recovery, so it was not frozen")
        report.filesystems[0] = proof("vda1", "ext4", false, Check(.failed, "the journal needs recovery"))
        try expectTidy(report.text(), is: "verify-failed.txt")
    }

    @Test("verify with a clone: what each application recovered to; and one that did not boot")
    func clone() throws {
        let plan = ClonePlan(
            id: try #require(RunID("0123456789abcdef0123456789abcdef")), guest: .db01, name: "db01-verify-01234567",
            uuid: "11111111-2222-4333-8444-555555555555", folder: "/var/tmp/stillpoint-clone-0123",
            disks: try Examples.snapshot().disks,
            dropped: ["interface network default", "disk vdc (/srv/kvm/swap.qcow2)"],
            memoryKiB: 4 << 20, definition: "")
        try expectTidy(plan.text(), is: "clone-plan.txt")
        func wanted(_ name: String, _ instance: String?, _ version: String) -> CloneRun.Wanted {
            CloneRun.Wanted(
                choice: HookChoice(Hook(name: name, origin: "built in", sha256: "", text: "")), instance: instance,
                version: version)
        }
        var report = VerificationReport(
            domain: .db01, snapshot: "20261122-223105", run: "0123456789abcdef0123456789abcdef",
            consistency: .application, chain: Check(.ok, "2 disks, QEMU and both definitions agree"),
            filesystem: Check(.ok, "3/3 clean"), filesystems: [])
        report.application = Check(.ok, "2 applications whole, booted in 41 s, recovered in 1 min 04 s")
        report.clone = CloneReport(plan)
        report.clone?.applications = [
            .init(wanted("postgresql", "15/main", "15.18"), Check(.ok, "pg_amcheck clean, recovered to 0/3A1F2C8")),
            .init(wanted("mysql", nil, "10.11.19"), Check(.ok, "GTIDs 0-1-4711; CHECK TABLE: all tables OK")),
        ]
        report.clone?.kept = true
        try expectTidy(report.text(), is: "verify-application.txt")
        report.application = Check(.notChecked, "the clone's agent did not answer within 10 min 00 s")
        report.clone?.applications = []
        report.clone?.kept = false
        report.clone?.console = ["[    1.2] VFS: Cannot open root device", "[    1.3] Kernel panic - not syncing"]
        try expectTidy(report.text(), is: "verify-not-booted.txt")
        #expect(report.status(asked: .application) == .filesystemOnly && report.status(asked: nil) == .reached)
        #expect(report.missed(asked: .application) == report.application.detail && report.missed(asked: nil) == nil)
        report.filesystem = Check(.notChecked, "vdb1 (xfs): its log cannot be read")
        #expect(report.status(asked: .filesystem) == .crashOnly && report.status(asked: .chain) == .reached)
        #expect(report.missed(asked: .filesystem) == report.filesystem.detail)
        report.filesystem = Check(.ok, "3/3 clean")
        var all = VerificationsReport(notDue: 3)
        all.verified = [report]
        try expectTidy(all.text(), is: "verify-all.txt")
    }

    @Test("a report that is read again says first what has become of the snapshot, unless it is as it was")
    func fates() {
        #expect(CatalogueEntry.Fate.kept.text().isEmpty)
        #expect(
            CatalogueEntry.Fate.committed.text()
                == "history: its layers have been merged since, there is nothing to go back to\n\n")
    }

    @Test("freeze and thaw by hand")
    func hand() throws {
        let freeze = FreezeReport(domain: .db01, mountpoints: ["/", "/var"], frozen: 2, until: Examples.start)
        try expectTidy(freeze.text(), is: "freeze.txt")
        let thaws = [(2, true), (1, false), (2, nil), (nil, nil)].map { count, held in
            ThawReport(domain: .db01, thawed: count, held: held).text()
        }
        let planned = [ThawReport.Owner.ours, .foreign].map { ThawReport(domain: .db01, would: $0).text() }
        try expectTidy((thaws + planned).joined(), is: "thaw.txt")
    }
}
