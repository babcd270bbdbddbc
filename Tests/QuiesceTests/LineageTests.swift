// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

/// A guest of one disk, its chains written as words: `base a b` is b on a on base.
struct Family {
    let lineage: Lineage

    /// - Parameters:
    ///   - snapshots: names by the overlay of each, oldest first.
    ///   - left: chains that reverts left, oldest first.
    init(_ active: String, snapshots: KeyValuePairs<String, String>, left: [String] = []) throws {
        let disk = try Sample.target("vda")
        func chain(_ words: String) -> [ImageLayer] {
            words.split(separator: " ").reversed().map { ImageLayer(path: "/i/\($0)", format: "qcow2") }
        }
        let guest = try Sample.facts().guest
        lineage = Lineage(
            of: guest, active: [disk: chain(active)],
            abandoned: try left.enumerated().map { index, words in
                let run = try #require(RunID(String(repeating: "\(index)", count: 32)))
                let layers = chain(words)
                return Lineage.Abandoned(
                    branch: Branch(
                        run: run, guest: guest, leftAt: Sample.start, revertedTo: "r\(index)",
                        leaves: [.init(target: disk, image: try #require(layers.first))], current: nil, forgotten: [],
                        merged: [:]), chains: [disk: layers])
            },
            snapshots: snapshots.enumerated().map { index, snapshot in
                Lineage.Snapshot(
                    name: snapshot.key, entry: nil, registered: nil, memory: nil,
                    overlays: [disk: "/i/\(snapshot.value)"], createdAt: Int64(index), disks: [])
            })
    }

    func standing(_ name: String) throws -> Lineage.Standing {
        lineage.standing(of: try #require(lineage.snapshots.first { $0.name == name }))
    }

    /// `top>base` for each step.
    func steps(merging doomed: String..., dropping: Int...) throws -> [String] {
        let runs = dropping.compactMap { RunID(String(repeating: "\($0)", count: 32)) }
        let plan = try CommitPlan(
            merging: Set(doomed.map { "/i/\($0)" }), dropping: Set(runs), in: lineage, isActive: true)
        return plan.steps.map { "\($0.top.path.dropFirst(3))>\($0.base.path.dropFirst(3))" }
    }
}

@Suite("A guest's lineage")
struct LineageTests {
    @Test("a snapshot stands where its frozen image is, whatever lies on it")
    func standing() throws {
        let family = try Family("base a r", snapshots: ["one": "a", "two": "b", "three": "c"], left: ["base a b"])
        #expect(try family.standing("one") == .below)
        #expect(try family.standing("two") == .current)
        #expect(try family.standing("three") == .gone)
        let other = try Family("base r", snapshots: ["one": "a", "two": "b"], left: ["base a b"])
        #expect(try other.standing("one") == .current)
        #expect(try other.standing("two") == .abandoned)
    }

    @Test("without the branch that held its overlay, a snapshot stands on what lies on its frozen image now")
    func heir() throws {
        let family = try Family("base r", snapshots: ["one": "a", "two": "b"], left: ["base a b"])
        let run = try #require(family.lineage.abandoned.first?.branch.run)
        let left = family.lineage.without([run])
        #expect(left.snapshots[0].overlays.values.first == "/i/r")
        #expect(left.standing(of: left.snapshots[0]) == .current)
        #expect(left.standing(of: left.snapshots[1]) == .gone)
    }

    @Test("one from the middle goes into what it lies on, several at once as one, separate ones as two")
    func middle() throws {
        let family = try Family("base a b c d", snapshots: ["one": "a", "two": "b", "three": "c", "four": "d"])
        #expect(try family.steps(merging: "b") == ["b>a"])
        #expect(try family.steps(merging: "b", "c") == ["c>a"])
        #expect(try family.steps(merging: "d", "a") == ["d>c", "a>base"])
    }

    @Test("nothing is merged into an image that carries something else, nor across one")
    func siblings() throws {
        let family = try Family("base a r", snapshots: ["one": "a", "two": "b"], left: ["base a b"])
        for doomed in ["r", "b"] {
            let failure = try #require(throws: Failure.self) { try family.steps(merging: doomed) }
            #expect(failure.status == .refused && failure.hint?.contains("prune") == true)
        }
        // What lies on it goes on lying there, on the image below.
        #expect(try family.steps(merging: "a") == ["a>base"])
        #expect(throws: Failure.self) { try family.steps(merging: "a", "r") }
        // Once the other is given up, both can go.
        #expect(try family.steps(merging: "a", "r", dropping: 0) == ["r>base"])
    }

    @Test("nothing goes into an image that the guest writes to, and nobody goes back onto it")
    func written() throws {
        let family = try Family("base", snapshots: ["one": "a"], left: ["base a"])
        let failure = try #require(throws: Failure.self) { try family.steps(merging: "a") }
        #expect(failure.status == .refused && failure.message.contains("the guest writes to /i/base itself"))
        #expect(failure.hint?.contains("prune") == true)
    }

    @Test("an heir on an abandoned branch is laid on the base, and the branch's own layers are merged where they are")
    func heirs() throws {
        let family = try Family("base a r", snapshots: ["one": "a", "two": "b", "three": "c"], left: ["base a b c"])
        let disk = try Sample.target("vda")
        let plan = try CommitPlan(merging: ["/i/a", "/i/c"], in: family.lineage, isActive: true)
        #expect(plan.steps.map(\.place) == [.live(isHead: false), .abandoned])
        #expect(plan.steps[0].heirs.map(\.path) == ["/i/b"])
        #expect(plan.finished.map(\.name) == ["one", "three"])
        #expect(
            plan.changedBranches.first?.leaves == [.init(target: disk, image: .init(path: "/i/b", format: "qcow2"))])
        #expect(plan.removed == ["/i/a", "/i/c"])
    }

    @Test("a branch is dropped down to where it left the guest's chain, and one that never meets it is left alone")
    func drop() throws {
        let family = try Family("base a r", snapshots: ["one": "a", "two": "b"], left: ["base a b c", "x y"])
        let run = try #require(family.lineage.abandoned.first?.branch.run)
        let plan = try CommitPlan(merging: [], dropping: [run], in: family.lineage, isActive: false)
        #expect(plan.removed == ["/i/c", "/i/b"] && plan.steps.isEmpty)
        let other = try #require(family.lineage.abandoned.last?.branch.run)
        #expect(throws: Failure.self) {
            try CommitPlan(merging: [], dropping: [other], in: family.lineage, isActive: false)
        }
    }

    @Test("an image that a stranger lies on is neither merged into nor removed", arguments: ["base", "a"])
    func strangers(_ image: String) throws {
        var lineage = try Family("base a b", snapshots: ["one": "a", "two": "b"]).lineage
        lineage.strangers["/i/\(image)"] = ["db02"]
        let failure = #expect(throws: Failure.self) {
            try CommitPlan(merging: ["/i/a"], in: lineage, isActive: true)
        }
        #expect(failure?.status == .refused && failure?.message.contains("db02") == true)
    }

    @Test("the children of a snapshot are those whose images lie on its own, not all that are younger")
    func children() throws {
        let family = try Family(
            "base r s", snapshots: ["one": "a", "two": "b", "three": "c", "four": "s"], left: ["base a b c"])
        var request = CommitRun.Request(.delete)
        (request.name, request.children) = ("two", true)
        let plan = try CommitPlan(request, try Sample.facts(), family.lineage, [], at: Sample.start)
        #expect(plan.lost.map(\.name) == ["two", "three"] && plan.finished.isEmpty)
        #expect(plan.removed == ["/i/c", "/i/b", "/i/a"] && plan.steps.isEmpty)
    }

    @Test(
        "of a disk that ours holds no longer libvirt is told no more; what virsh made shows there that it is not whole")
    func holding() throws {
        let known = RegisteredSnapshot(
            name: "one", overlays: [try Sample.target("vda"): "/i/a", try Sample.target("vdb"): "/i/gone"])
        let lineage = try Family("base a", snapshots: ["one": "a"]).lineage
        var snapshot = lineage.snapshots[0]
        #expect(known.holding(snapshot, in: lineage).overlays == known.overlays)
        snapshot.entry = CatalogueEntry(
            run: try #require(RunID("fedcba9876543210fedcba9876543210")), guest: lineage.guest, name: "one",
            createdAt: Sample.start, consistency: .crash, fate: .kept)
        #expect(known.holding(snapshot, in: lineage).overlays == ["vda": "/i/a"])
    }

    @Test("the tree follows the images where libvirt knows nothing")
    func parents() throws {
        let lineage = try Family("base a r", snapshots: ["one": "a", "two": "b"], left: ["base a b"]).lineage
        #expect(lineage.parent(of: lineage.snapshots[0]) == nil)
        #expect(lineage.parent(of: lineage.snapshots[1]) == "one")
        #expect(lineage.parent(of: lineage.active) == "two")
    }
}
