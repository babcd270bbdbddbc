// SPDX-License-Identifier: Apache-2.0

import Foundation
import GuestAgent
import Quiesce
import Testing

@testable import QuiesceKVM

@Suite("Probing a guest", .timeLimit(.minutes(1)))
struct HookProbeTests {
    private func choice(
        _ name: String, looksFor: [String] = ["it"], place: String? = nil, timeout: Duration = .seconds(30),
        _ text: String
    ) -> HookChoice {
        HookChoice(
            Hook(name: name, origin: "test", sha256: "", looksFor: looksFor, text: text), place: place,
            timeout: timeout)
    }

    private func applications(_ choices: [HookChoice], present: Set<String>? = ["it"]) async throws
        -> [ApplicationFacts]
    {
        let probe = HookProbe(agent: GuestAgent(channel: try LocalGuest()), domain: "db01")
        return await probe.applications(choices, present: present)
    }

    @Test("those of which something is there are asked, at once, and answer in their own order")
    func order() async throws {
        let scratch = try ScratchFolder()
        // The first waits for the second: one after the other they would never end.
        let found = try await applications([
            choice(
                "slow",
                "while [ ! -e '\(scratch("mark"))' ]; do sleep 0.05; done; echo '{\"state\":\"running\",\"paths\":[\"/a\"]}'"
            ),
            choice("quick", ": >'\(scratch("mark"))'; echo '{\"instances\":[{\"name\":\"x\",\"state\":\"stopped\"}]}'"),
            choice("other", looksFor: ["nothing"], "echo '{\"state\":\"running\"}'"),
            choice("always", looksFor: [], "echo '{\"state\":\"recovering\"}'"),
        ])
        #expect(found.map(\.label) == ["slow", "quick x", "always"])
        #expect(found.map(\.state) == [.running, .stopped, .recovering])
    }

    @Test("what is absent is told only where somebody asked for it")
    func absent() async throws {
        let found = try await applications([
            choice("one", "echo '{\"state\":\"absent\"}'"),
            choice("two", looksFor: ["nothing"], place: "--hook", "echo '{\"state\":\"absent\"}'"),
            choice("three", place: "--hook", "echo '{\"instances\":[]}'"),
        ])
        #expect(found.map(\.label) == ["two", "three"] && found.allSatisfy { $0.state == .absent })
    }

    @Test("a probe that goes wrong is unclear, and says why")
    func unclear() async throws {
        let found = try await applications([
            choice("failed", "echo no such role >&2; exit 1"), choice("odd", "echo hello"),
            choice("denied", "echo no rights >&2; exit 77"), choice("busy", "echo later >&2; exit 75"),
            choice("empty", "exit 0"), choice("hangs", timeout: .seconds(1), "sleep 60"),
        ])
        #expect(found.map(\.choice.hook.name) == ["failed", "odd", "denied", "busy", "empty", "hangs"])
        #expect(found[0].state == .unclear("no such role"))
        #expect(found[2].state == .denied("no rights"))
        #expect(found[3].state == .unclear("later"))
        #expect(found[4].state == .unclear("its answer has no state"))
        for index in [1, 5] {
            guard case .unclear = found[index].state else { Issue.record("\(found[index].state)"); return }
        }
    }

    @Test("when nobody could look, only those that somebody asked for are tried")
    func blind() async throws {
        let text = "echo '{\"state\":\"running\"}'"
        let found = try await applications(
            [
                choice("one", text), choice("two", looksFor: [], text),
                choice("three", place: "config.yaml line 3", text),
            ],
            present: nil)
        #expect(found.map(\.label) == ["three"])
    }

    @Test("the look inside says which commands, processes and files there are, and no others", arguments: shells)
    func words(shell: String) throws {
        let tools = try ScratchFolder()
        // Longer than what the kernel keeps of a name.
        let long = "a-name-of-twenty-one-x"
        #expect(symlink("/usr/bin/sleep", tools(long)) == 0)
        let words = [
            "sh", "no-such-command", long, "a-name-of-twent", "a-name-of", "/etc/passwd", "/no/such/file", "/", "..",
            "x*",
            "[a-z]", "a-name-of-twenty",
        ]
        let script = "'\(tools(long))' 600 >/dev/null 2>&1 &\n" + GuestScript.survey.text + "\nkill \"$!\""
        let result = try Shell.run(
            script.replacing("say end", with: ""), words, with: shell, environment: ["PATH": "/usr/bin:/bin"])
        let found = result.output.split(separator: "\n").filter { $0.hasPrefix("has ") }.map { $0.dropFirst(4) }
        #expect(found == ["sh", "\(long)", "a-name-of-twent", "/etc/passwd", "/", "a-name-of-twenty"])
    }
}
