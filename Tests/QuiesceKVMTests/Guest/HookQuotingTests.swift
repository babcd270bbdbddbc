// SPDX-License-Identifier: Apache-2.0

import Foundation
import GuestAgent
import Quiesce
import Testing

@testable import QuiesceKVM

/// What names and values may hold, and a shell must not take for its own.
enum OddText {
    static let all: [String] =
        [
            " ", "a b", " a", "a ", "  ", "\t", "a\tb", "\n", "a\nb", "\n\n", "a\n", "'", "''", "it's", "\"", "a\"b",
            "'\"'\"'", "`id`", "$(id)", "$((1+1))", "$HOME", "${HOME}", "$$", "$", "\\", "\\\\", "\\n", "a\\", "\\'",
            ";",
            "; id", "&", "&&", "|", "||", "<", ">", ">/tmp/x", "*", "?", "[a-z]", "~", "~root", "#", "# a", "!", "!!",
            "-",
            "-n", "-e", "--", "--help", "-rf /", "=", "a=b", "%", "%s", "%n%n%n", "{a,b}", "(", ")", "()", "{ :; }",
            "\r",
            "\u{1B}[31m", "ä", "データ", "🐘", "\u{202E}", "15/main", "../..", "/", "EOF", "eval", "$'\\n'",
            String(repeating: "x", count: 4096),
        ]
}

@Suite("Names and values on their way into the guest", .serialized, .timeLimit(.minutes(2)))
struct HookQuotingTests {
    private let run = RunID.random()

    private func ending(
        _ text: String, on guest: LocalGuest, _ parameters: [String: String], instance: String? = nil
    ) async -> HookRunner.Ending {
        let call = HookCall(
            .preFreeze, of: Hook(name: "sample", origin: "test", sha256: "", text: text), parameters: parameters,
            instance: instance)
        let agent = GuestAgent(channel: guest)
        return await HookRunner(agent: agent, run: run, domain: "db01", time: SystemTime())
            .ending(of: call, within: .seconds(20))
    }

    @Test("a name comes through as it is, whatever it holds, and starts nothing", arguments: OddText.all)
    func quoting(name: String) async throws {
        let guest = try LocalGuest()
        let told = await ending(
            #"printf '%s|%s' "$STILLPOINT_PARAM_INSTANCE" "$STILLPOINT_PARAM_MODE""#, on: guest,
            ["mode": name], instance: name)
        #expect(told == .ended(code: 0, output: Array("\(name)|\(name)".utf8), cause: ""))
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(guest.run)/\(run)").count == 4)
    }

    @Test("a value that no environment can hold is not sent")
    func nul() async throws {
        let guest = try LocalGuest()
        guard case .unstarted(let why) = await ending("exit 0", on: guest, ["mode": "a\0b"]) else {
            Issue.record("sent")
            return
        }
        #expect(why.contains("not started"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(guest.run)/\(run)").count == 2)
    }

    @Test(
        "a key of the configuration becomes a variable's name",
        arguments: [
            ("lockWait", "LOCK_WAIT"), ("instance", "INSTANCE"), ("a1B2c", "A1_B2C"), ("maxLagMs", "MAX_LAG_MS"),
        ])
    func keys(key: String, name: String) {
        #expect(HookRunner.upperSnake(key) == name)
    }
}
