// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("What a merge leaves alone")
struct MergeSafetyTests {
    private let run = "fedcba9876543210fedcba9876543210"

    /// A snapshot of ours of vda and vdb, of which vdb is not among the guest's disks now.
    private func detached(_ fate: CatalogueEntry.Fate = .kept) throws -> (facts: GuestFacts, lineage: Lineage) {
        var facts = try Sample.facts()
        facts.disks.removeLast()
        var lineage = try Family("base a", snapshots: ["one": "a"]).lineage
        let other = try Sample.target("vdb")
        lineage.snapshots[0].overlays[other] = "/i/b"
        lineage.snapshots[0].entry = CatalogueEntry(
            run: try #require(RunID(run)), guest: facts.guest, name: "one", createdAt: Sample.start,
            consistency: .filesystem, fate: fate)
        lineage.snapshots[0].disks = [
            disk(try Sample.target("vda"), "/i/base", "/i/a"), disk(other, "/i/other", "/i/b"),
        ]
        return (facts, lineage)
    }

    private func disk(_ target: DiskTarget, _ frozen: String, _ overlay: String) -> MemberReport.Disk {
        MemberReport.Disk(
            target: target, frozenImage: frozen, chain: [ImageLayer(path: frozen, format: "qcow2")], overlay: overlay,
            format: "qcow2", virtualSizeBytes: 16 << 20)
    }

    @Test(
        "the newest layer of a disk that is detached, whatever became of the rest of its snapshot",
        arguments: [CatalogueEntry.Fate.kept, .merging])
    func detachedDisk(_ fate: CatalogueEntry.Fate) throws {
        let (facts, lineage) = try detached(fate)
        for command in [CommitRun.Request.Command.commit, .delete, .prune] {
            var request = CommitRun.Request(command)
            if command == .delete { request.name = "one" }
            if command == .prune { request.rule = .keep(0) }
            let plan = try CommitPlan(request, facts, lineage, [], at: Sample.start)
            #expect(plan.removed == ["/i/a"] && plan.finished.map(\.name) == ["one"])
        }
    }

    @Test("a layer that somebody names, with its snapshot, which says who")
    func named() throws {
        var (facts, lineage) = try detached()
        facts.snapshots = ["one"]
        lineage.strangers["/i/b"] = ["the saved definition of db01"]
        let plan = try CommitPlan(CommitRun.Request(), facts, lineage, [], at: Sample.start)
        #expect(plan.removed == ["/i/a"] && plan.finished.isEmpty)
        #expect(plan.kept == [.init(name: "one", reason: "vdb: the saved definition of db01 names /i/b")])
    }

    @Test(
        "what the header alone of an image names, where that is in a strange place or a device",
        arguments: [true, false])
    func strangeBase(isActive: Bool) throws {
        for base in ["/etc/crontab", "/dev/sda"] {
            var facts = try Sample.facts()
            facts.disks.removeLast()
            if !isActive { (facts.power, facts.agent) = (.shutOff, .unasked) }
            let chain = [ImageLayer(path: "/i/top", format: "qcow2"), ImageLayer(path: base, format: "raw")]
            let lineage = Lineage(of: facts.guest, active: [try Sample.target("vda"): chain])
            var request = CommitRun.Request()
            request.all = true
            if isActive {
                #expect(try CommitPlan(request, facts, lineage, [], at: Sample.start).steps.count == 1)
            } else {
                let failure = #expect(throws: Failure.self) {
                    try CommitPlan(request, facts, lineage, [], at: Sample.start)
                }
                #expect(failure?.status == .refused)
            }
        }
    }

    @Test("a branch of which a leaf cannot be read")
    func unread() throws {
        let family = try Family("base r", snapshots: ["one": "r"], left: ["base a"])
        var lineage = family.lineage
        lineage.abandoned[0].unread = [try Sample.target("vdb"): "no permission"]
        let run = lineage.abandoned[0].branch.run
        let failure = #expect(throws: Failure.self) {
            try CommitPlan(merging: [], dropping: [run], in: lineage, isActive: true)
        }
        #expect(failure?.message.contains("no permission") == true)
    }
}
