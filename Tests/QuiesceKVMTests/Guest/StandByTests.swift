// SPDX-License-Identifier: Apache-2.0

import Foundation
import GuestAgent
import JSON
import Quiesce
import Testing

@testable import QuiesceKVM

@Suite("Hooks that wait for their word", .serialized, .timeLimit(.minutes(2)))
struct StandByTests {
    let run = RunID.random()

    func runner(_ guest: LocalGuest) -> HookRunner {
        HookRunner(agent: GuestAgent(channel: guest), run: run, domain: "db01", time: SystemTime())
    }

    func call(
        _ text: String, _ verb: HookVerb = .postThaw, of name: String = "sample", lease: Int = 60,
        outcome: HookCall.Outcome? = nil
    ) -> HookCall {
        let hook = Hook(name: name, origin: "test", sha256: "", text: text)
        return HookCall(verb, of: hook, lease: .seconds(lease), outcome: outcome)
    }

    func programs(_ guest: LocalGuest) async -> Int {
        await guest.heard.count { $0["execute"] == "guest-exec" }
    }

    func isAnybodyWaiting(in guest: LocalGuest) -> Bool { runs("\(guest.run)/\(run)/run") }

    @Test("the word brings lease and outcome, and no process is started for it", arguments: shells)
    func word(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        let runner = runner(guest)
        let text =
            #"echo "$1 $STILLPOINT_LEASE_S ${STILLPOINT_OUTCOME-none}"; [ "$1" = post-thaw ] && exit 75 || exit 0"#
        await runner.standBy([HookTurn([call(text, .preFreeze)]), HookTurn([call(text)])])
        let before = await programs(guest)
        let locked = await runner.ending(of: call(text, .preFreeze, lease: 12), within: .seconds(20))
        #expect(locked == .ended(code: 0, output: Array("pre-freeze 12 none\n".utf8), cause: ""))
        let released = await runner.ending(of: call(text, lease: 9, outcome: .taken), within: .seconds(20))
        #expect(released == .ended(code: 75, output: Array("post-thaw 9 taken\n".utf8), cause: ""))
        #expect(await programs(guest) == before)
        // Whoever asks again does without.
        let again = await runner.ending(of: call(text, .preFreeze, lease: 3), within: .seconds(20))
        #expect(again == .ended(code: 0, output: Array("pre-freeze 3 none\n".utf8), cause: ""))
        try await runner.tidy()
    }

    @Test("one word is enough for all: each begins when the one before has ended, and all are heard", arguments: shells)
    func turn(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        let runner = runner(guest)
        let order = guest.scratch("order")
        let names = ["one", "two", "three"]
        func calls(_ verb: HookVerb, _ lease: Int = 60) -> [HookCall] {
            names.map { call("sleep 0.1; echo \($0) $STILLPOINT_LEASE_S >>'\(order)'", verb, of: $0, lease: lease) }
        }
        await runner.standBy([HookTurn(calls(.preFreeze)), HookTurn(calls(.postThaw).reversed())])
        let before = await programs(guest)
        _ = await runner.runInTurn(HookTurn(calls(.preFreeze, 7)))
        for call in calls(.preFreeze) {
            #expect(await runner.ending(of: call, within: .seconds(20)) == .ended(code: 0, output: [], cause: ""))
        }
        #expect(await runner.runInTurn(HookTurn(calls(.postThaw, 8).reversed())))
        for call in calls(.postThaw).reversed() {
            #expect(await runner.ending(of: call, within: .seconds(20)) == .ended(code: 0, output: [], cause: ""))
        }
        let heard = try String(contentsOfFile: order, encoding: .utf8).split(separator: "\n")
        #expect(heard == ["one 7", "two 7", "three 7", "three 8", "two 8", "one 8"])
        #expect(await programs(guest) == before)
        try await runner.tidy()
        #expect(await guest.openPipes == 0)
    }

    @Test("one that ends with dispatch is read before its word, and the next begins when it says so", arguments: shells)
    func early(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        let runner = runner(guest)
        let order = guest.scratch("order")
        func calls(_ verb: HookVerb) -> [HookCall] {
            ["one", "two"].map { name in
                let text = """
                    say() { echo "\(name) $1" >>'\(order)'; }
                    dispatch() { stand_by; say "$1"; pass_on; until grep -q "two $1" '\(order)'; do sleep 0.02; done; say told; }
                    say read
                    dispatch "$@"

                    """
                return call(text, verb, of: name)
            }
        }
        let turn = HookTurn(calls(.preFreeze))
        await runner.standBy([turn])
        #expect(
            try String(contentsOfFile: order, encoding: .utf8).split(separator: "\n").sorted() == [
                "one read", "two read",
            ])
        _ = await runner.runInTurn(turn)
        for call in turn.calls {
            #expect(await runner.ending(of: call, within: .seconds(20)) == .ended(code: 0, output: [], cause: ""))
        }
        let heard = try String(contentsOfFile: order, encoding: .utf8).split(separator: "\n")
        #expect(heard[2...3] == ["one pre-freeze", "two pre-freeze"] && heard.count == 6)
        try await runner.tidy()
    }

    @Test(
        "a lock that is still being taken when nobody wants it any more is ended, and those after it are not taken",
        arguments: shells)
    func calledOff(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        let runner = runner(guest)
        let mark = guest.scratch("mark")
        let slow = call("sleep 617", .preFreeze, of: "one")
        let next = call("echo taken >'\(mark)'", .preFreeze, of: "two")
        let turn = HookTurn([slow, next])
        await runner.standBy([turn])
        #expect(await runner.runInTurn(turn))
        guard case .ended(let code, [], _) = await runner.heard(slow, within: .zero) else {
            Issue.record("it was not ended")
            return
        }
        #expect([124, 137, 143].contains(code) && !runs("617"))
        #expect(await runner.heard(next, within: .zero) == .unknown("it was not in turn"))
        try await runner.tidy()
        #expect(!FileManager.default.fileExists(atPath: mark))
    }

    @Test("a lock that is not taken ends the turn, and those after it can still be taken one by one", arguments: shells)
    func endedTurn(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        let runner = runner(guest)
        let order = guest.scratch("order")
        let locks = [("one", 0), ("two", 75), ("three", 0)].map { name, code in
            call("echo \(name) >>'\(order)'; exit \(code)", .preFreeze, of: name)
        }
        await runner.standBy([HookTurn(locks)])
        _ = await runner.runInTurn(HookTurn(locks))
        #expect(await runner.ending(of: locks[0], within: .seconds(20)) == .ended(code: 0, output: [], cause: ""))
        #expect(await runner.ending(of: locks[1], within: .seconds(20)) == .ended(code: 75, output: [], cause: ""))
        #expect(try String(contentsOfFile: order, encoding: .utf8) == "one\ntwo\n")
        // Again by itself, then the next.
        #expect(await runner.ending(of: locks[1], within: .seconds(20)) == .ended(code: 75, output: [], cause: ""))
        #expect(await runner.ending(of: locks[2], within: .seconds(20)) == .ended(code: 0, output: [], cause: ""))
        #expect(try String(contentsOfFile: order, encoding: .utf8) == "one\ntwo\ntwo\nthree\n")
        try await runner.tidy()
    }

    @Test("a release waits for its lock that is still being taken in turn", arguments: shells)
    func outlasted(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        let runner = runner(guest)
        let order = guest.scratch("order")
        let text = #"[ "$1" = post-thaw ] || sleep 0.5; echo "$1" >>'"# + order + "'"
        await runner.standBy([HookTurn([call(text, .preFreeze)]), HookTurn([call(text)])])
        _ = await runner.runInTurn(HookTurn([call(text, .preFreeze)]))
        #expect(await runner.ending(of: call(text), within: .seconds(20)) == .ended(code: 0, output: [], cause: ""))
        #expect(try String(contentsOfFile: order, encoding: .utf8) == "pre-freeze\npost-thaw\n")
        try await runner.tidy()
    }

    @Test("nothing of a hook is run before its word, and none of it when the agent ends", arguments: shells)
    func restart(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        let runner = runner(guest)
        let mark = guest.scratch("mark")
        let text = "echo ran >>'\(mark)'"
        await runner.standBy([HookTurn([call(text)])])
        #expect(!FileManager.default.fileExists(atPath: mark))
        await guest.restart()
        // It does not know the gate any more: the hook is started the other way, once.
        let told = await runner.ending(of: call(text), within: .seconds(20))
        #expect(told == .ended(code: 0, output: [], cause: ""))
        #expect(try String(contentsOfFile: mark, encoding: .utf8) == "ran\n")
        try await runner.tidy()
    }

    @Test("one that takes too long is ended with its children", arguments: shells)
    func slow(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        let runner = runner(guest)
        let text = "echo slow >&2; sleep 618 & sleep 619"
        await runner.standBy([HookTurn([call(text)])])
        let told = await runner.ending(of: call(text), within: .seconds(1))
        guard case .ended(let code, [], "slow") = told else {
            Issue.record("\(told)")
            return
        }
        #expect([124, 137, 143].contains(code))
        #expect(!runs("618") && !runs("619"))
    }

    @Test("nobody waits any more when the run's leavings are cleared, gate opened or not", arguments: shells)
    func nobody(shell: String) async throws {
        for refused in ["", "guest-file-open"] {
            let guest = try LocalGuest(shell: shell)
            if !refused.isEmpty { await guest.refuse(refused) }
            let runner = runner(guest)
            await runner.standBy([HookTurn([call("exit 0", .preFreeze)]), HookTurn([call("exit 0")])])
            #expect(isAnybodyWaiting(in: guest))
            try await runner.tidy()
            for _ in 0..<100 where isAnybodyWaiting(in: guest) { try await Task.sleep(for: .milliseconds(20)) }
            #expect(!isAnybodyWaiting(in: guest))
        }
    }
}
