// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("Judgement")
struct JudgementTests {
    private func judge(
        frozen: Int? = 2, thawed: Int? = 2, length: Duration = .milliseconds(63), cutAfterThaw: Bool = false,
        facts: GuestFacts? = nil, request: SnapshotRequest? = nil
    ) throws -> Verdict {
        let request = try request ?? Sample.request()
        let plan = MemberPlan(of: try facts ?? Sample.facts(), for: request)
        let opened = ContinuousClock.now
        let sent = opened + length - .milliseconds(3)
        var window = Window.Result(opened: opened, closed: opened + length)
        window.frozen = frozen
        window.thaw = thawed.map { .thawed($0) } ?? .unproved(GuestFailure(.timedOut, "silence"))
        window.thawSent = sent
        window.cutDone = cutAfterThaw ? sent + .milliseconds(1) : sent
        window.cut = .done
        return Judgement(plan: plan, request: request, window: window, hooks: []).verdict
    }

    @Test("frozen, expected and thawed are the same number: filesystem, without reasons")
    func filesystem() throws {
        #expect(try judge() == Verdict(consistency: .filesystem))
    }

    @Test("a lock nobody took is never application consistency")
    func neverApplication() throws {
        var request = try Sample.request()
        request.required = .application
        #expect(try judge(request: request).consistency == .filesystem)
    }

    @Test(
        "any quarrel of the three counts is crash, with each quarrel named",
        arguments: [
            (1, 1, ["1 filesystem frozen of 2 expected"]),
            (3, 3, ["3 filesystems frozen, but 2 expected"]),
            (2, 1, ["only 1 thawed"]),
            (2, 0, ["only 0 thawed"]),
            (2, 3, ["3 thawed: another's freeze"]),
            (1, 2, ["1 filesystem frozen of 2 expected", "2 thawed: another's freeze"]),
            (0, 0, ["0 filesystems frozen of 2 expected"]),
            (-1, 2, ["-1 filesystems frozen of 2 expected", "2 thawed"]),
        ])
    func counts(frozen: Int, thawed: Int, expected: [String]) throws {
        let verdict = try judge(frozen: frozen, thawed: thawed)
        #expect(verdict.consistency == .crash)
        try #require(verdict.reasons.count == expected.count)
        for (reason, words) in zip(verdict.reasons, expected) { #expect(reason.contains(words)) }
    }

    @Test("a count that never came is crash")
    func missingCounts() throws {
        #expect(try judge(frozen: nil).consistency == .crash)
        #expect(try judge(thawed: nil).consistency == .crash)
    }

    @Test("a window longer than allowed is crash, one of just the allowed length is not")
    func length() throws {
        #expect(try judge(length: .seconds(5)).consistency == .filesystem)
        let verdict = try judge(length: .milliseconds(5001))
        #expect(verdict.consistency == .crash)
        #expect(verdict.reasons.map { $0.prefix(15) } == ["the window took"])
    }

    @Test("a cut that ended after the thaw was sent is crash")
    func lateCut() throws {
        let verdict = try judge(cutAfterThaw: true)
        #expect(verdict == Verdict(consistency: .crash, reasons: ["the cut ended after the thaw was sent"]))
    }

    @Test("--no-freeze is crash, whatever the guest counted")
    func noFreeze() throws {
        var request = try Sample.request()
        request.freezes = false
        let verdict = try judge(request: request)
        #expect(verdict == Verdict(consistency: .crash, reasons: ["not frozen: --no-freeze"]))
    }

    @Test("what preflight limited stays limited, and its text is the reason")
    func limits() throws {
        var disk = try Sample.root()
        disk.cache = "unsafe"
        let verdict = try judge(facts: Sample.facts(disks: [disk, Sample.data()]))
        #expect(verdict.consistency == .crash)
        #expect(verdict.reasons.count == 1)
        #expect(verdict.reasons.first?.contains("vda has cache='unsafe'") == true)
    }

    @Test("nothing that could freeze is crash, and says so")
    func nothingFrozen() throws {
        let facts = try Sample.facts(filesystems: [Sample.filesystem("/boot/efi", on: "vda1", "vfat", disks: "vda")])
        let verdict = try judge(frozen: nil, thawed: nil, facts: facts)
        #expect(verdict.consistency == .crash)
        #expect(verdict.reasons.count == 1)
    }

    @Test("all reasons are told at once")
    func allReasons() throws {
        let verdict = try judge(frozen: 1, thawed: 3, length: .seconds(9), cutAfterThaw: true)
        #expect(verdict.reasons.count == 4)
    }
}
