// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import GuestAgent
import Quiesce
import Testing

@testable import QuiesceKVM

/// The last words before the freeze, behind hooks in turn.
extension StandByTests {
    /// One that is alive and waits for nothing: this process.
    private func deadMan(in guest: LocalGuest) throws {
        let folder = "\(guest.run)/\(run)/deadman"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Data("\(getpid())\n".utf8).write(to: URL(filePath: folder + "/pid"))
        #expect(mkfifo(folder + "/deadline", 0o600) == 0)
    }

    @Test("the last words are said when every lock is held, and only then", arguments: shells)
    func lastWords(shell: String) async throws {
        for code in [0, 75] {
            let guest = try LocalGuest(shell: shell)
            let runner = runner(guest)
            let locks = [("one", 0), ("two", code)].map { call("exit \($1)", .preFreeze, of: $0) }
            let words = LastWords(["/"], deadline: .seconds(8), expedites: false)
            let turn = HookTurn(locks, last: words)
            await runner.standBy([turn])
            let before = await programs(guest)
            _ = await runner.runInTurn(turn)
            for call in locks { _ = await runner.ending(of: call, within: .seconds(20)) }
            // Without a dead-man they come to nothing, and say so.
            if code == 0 {
                let ending = await runner.said(words, within: .seconds(20))
                guard case .ended(1, _, _) = ending else {
                    Issue.record("\(String(describing: ending))")
                    return
                }
                #expect(await programs(guest) == before)
            }
            await runner.outlastLastWords()
            try await runner.tidy()
            for _ in 0..<100 where isAnybodyWaiting(in: guest) { try await Task.sleep(for: .milliseconds(20)) }
            #expect(!isAnybodyWaiting(in: guest))
        }
    }

    @Test("the last words are heard as soon as they are said, and at once when they will not be", arguments: shells)
    func saidInTurn(shell: String) async throws {
        for code in [0, 1] {
            let guest = try LocalGuest(shell: shell)
            let runner = runner(guest)
            try deadMan(in: guest)
            let locks = [("one", 0), ("two", code)].map { call("exit \($1)", .preFreeze, of: $0) }
            let words = LastWords([], deadline: .seconds(8), expedites: false)
            let turn = HookTurn(locks, last: words)
            await runner.standBy([turn])
            #expect(await !runner.saidInTurn(words, within: .seconds(20)))
            _ = await runner.runInTurn(turn)
            // Far from the limit in both cases.
            #expect(await runner.saidInTurn(words, within: .seconds(600)) == (code == 0))
            for (call, code) in zip(locks, [0, code]) {
                #expect(await runner.heard(call, within: .seconds(20)) == .ended(code: code, output: [], cause: ""))
            }
            #expect(await runner.heard(locks[0], within: .seconds(20)) == .unknown("it was not in turn"))
            // Those that were called off can be said otherwise.
            if code != 0 { #expect(await runner.said(words, within: .seconds(20)) == nil) }
            try await runner.tidy()
            #expect(await guest.openPipes == 0)
        }
    }

    @Test("what one hook says too late against itself is not said of those after it", arguments: shells)
    func lateWord(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        let runner = runner(guest)
        try deadMan(in: guest)
        let bad = call("dispatch() { stand_by; pass_on; exit 1; }\ndispatch \"$@\"\n", .preFreeze, of: "one")
        let good = call("echo well", .preFreeze, of: "two")
        let words = LastWords([], deadline: .seconds(8), expedites: false)
        let turn = HookTurn([bad, good], last: words)
        await runner.standBy([turn])
        #expect(await runner.runInTurn(turn))
        #expect(await runner.saidInTurn(words, within: .seconds(20)))
        #expect(await runner.heard(bad, within: .seconds(20)) == .ended(code: 1, output: [], cause: ""))
        #expect(
            await runner.heard(good, within: .seconds(20)) == .ended(code: 0, output: Array("well\n".utf8), cause: ""))
        try await runner.tidy()
    }

    @Test("last words that take long are left in line, to be heard later", arguments: shells)
    func saidLate(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        let runner = runner(guest)
        try deadMan(in: guest)
        let go = guest.scratch("go")
        let lock = call("until [ -e '\(go)' ]; do sleep 0.02; done", .preFreeze)
        let words = LastWords([], deadline: .seconds(8), expedites: false)
        let turn = HookTurn([lock], last: words)
        await runner.standBy([turn])
        _ = await runner.runInTurn(turn)
        #expect(await !runner.saidInTurn(words, within: .milliseconds(100)))
        #expect(FileManager.default.createFile(atPath: go, contents: nil))
        #expect(await runner.ending(of: lock, within: .seconds(20)) == .ended(code: 0, output: [], cause: ""))
        #expect(await runner.said(words, within: .seconds(20)) == .ended(code: 0, output: [], cause: ""))
        try await runner.tidy()
    }

    @Test("a release that was not waited with begins when its lock has said all that it has to say", arguments: shells)
    func orderedInside(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        let runner = runner(guest)
        try deadMan(in: guest)
        let order = guest.scratch("order")
        let text = """
            dispatch() {
                stand_by
                [ "$1" = post-thaw ] || { pass_on; sleep 0.5; }
                echo "$1" >>'\(order)'
            }
            dispatch "$@"

            """
        let words = LastWords([], deadline: .seconds(8), expedites: false)
        let lock = HookTurn([call(text, .preFreeze)], last: words)
        let release = HookTurn([call(text), call("exit 0", of: "other")])
        await runner.standBy([lock, release])
        _ = await runner.runInTurn(lock)
        #expect(await runner.saidInTurn(words, within: .seconds(20)))
        #expect(await runner.runInTurn(release))
        #expect(
            await runner.heard(lock.calls[0], within: .seconds(20)) == .ended(code: 0, output: [], cause: ""))
        #expect(
            await runner.ending(of: release.calls[0], within: .seconds(20)) == .ended(code: 0, output: [], cause: ""))
        #expect(try String(contentsOfFile: order, encoding: .utf8) == "pre-freeze\npost-thaw\n")
        try await runner.tidy()
    }
}
