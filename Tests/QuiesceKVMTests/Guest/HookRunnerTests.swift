// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import GuestAgent
import Quiesce
import Testing

@testable import QuiesceKVM

@Suite("A hook in the guest", .timeLimit(.minutes(2)))
struct HookRunnerTests {
    static let run = RunID.random()

    private func ending(
        _ text: String, _ verb: HookVerb = .preFreeze, on guest: LocalGuest, within limit: Duration = .seconds(20)
    ) async -> HookRunner.Ending {
        let hook = Hook(name: "sample", origin: "test", sha256: "", text: text)
        let runner = HookRunner(agent: GuestAgent(channel: guest), run: Self.run, domain: "db01", time: SystemTime())
        return await runner.ending(of: HookCall(verb, of: hook), within: limit)
    }

    @Test("what it writes comes back, with its exit code and the last line of its stderr")
    func plain() async throws {
        let guest = try LocalGuest()
        let ending = await ending("echo \"{}\"; echo one >&2; echo two >&2; exit 3", on: guest)
        #expect(ending == .ended(code: 3, output: Array("{}\n".utf8), cause: "two"))
    }

    @Test("a child that keeps its stdout open is not waited for")
    func child() async throws {
        let guest = try LocalGuest()
        let ending = await ending("sleep 60 & echo \"$!\"", on: guest, within: .seconds(30))
        guard case .ended(0, let output, _) = ending else { Issue.record("\(ending)"); return }
        let pid = try #require(pid_t(String(decoding: output, as: UTF8.self).trimmingCharacters(in: .newlines)))
        #expect(kill(pid, SIGKILL) == 0)
    }
}
