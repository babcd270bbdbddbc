// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import GuestAgent
import JSON
import Quiesce
import Testing

@testable import QuiesceKVM

/// The shells of this host that a guest may have as its /bin/sh.
let shells = ["/usr/bin/dash", "/usr/bin/bash", "/usr/bin/busybox"].filter { exists($0) }

@Suite("A hook in the guest", .serialized, .timeLimit(.minutes(3)))
struct HookRunnerTests {
    private let run = RunID.random()

    private func runner(_ guest: LocalGuest) -> HookRunner {
        HookRunner(agent: GuestAgent(channel: guest), run: run, domain: "db 01", time: SystemTime())
    }

    private func ending(
        _ text: String, _ verb: HookVerb = .preFreeze, on guest: LocalGuest, within limit: Duration = .seconds(20),
        parameters: [String: String] = [:], instance: String? = nil
    ) async -> HookRunner.Ending {
        let hook = Hook(name: "sample", origin: "test", sha256: "", text: text)
        let call = HookCall(
            verb, of: hook, parameters: parameters, instance: instance, lease: .seconds(15), outcome: .taken,
            mountpoints: ["/", "/var/lib/my sql"])
        return await runner(guest).ending(of: call, within: limit)
    }

    private func output(_ ending: HookRunner.Ending) throws -> String {
        guard case .ended(0, let output, _) = ending else { throw Unexpected(ending: ending) }
        return String(decoding: output, as: UTF8.self)
    }

    private struct Unexpected: Error {
        var ending: HookRunner.Ending
    }

    @Test("what it writes comes back, with its exit code and the last line of its stderr", arguments: shells)
    func plain(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        let told = await ending("echo \"{}\"; echo one >&2; echo two >&2; echo >&2; exit 3", on: guest)
        #expect(told == .ended(code: 3, output: Array("{}\n".utf8), cause: "two"))
        #expect(await ending("exit 75", on: guest) == .ended(code: 75, output: [], cause: ""))
        #expect(await ending("printf x", on: guest) == .ended(code: 0, output: Array("x".utf8), cause: ""))
        guard case .ended(137, [], _) = await ending("kill -9 $$", on: guest) else {
            Issue.record("not killed"); return
        }
    }

    @Test("it is called as the contract says: name, verb, folder, umask, stdin, environment", arguments: shells)
    func contract(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        // The variables one by one, because one of them holds a line end; what a shell adds by itself is its own affair.
        let text = #"""
            echo "$0|$*|$PWD|$(umask)"; cat
            env -0 | tr '\n\0' '~\n' | grep -vE '^(PWD|OLDPWD|SHLVL|_)=' | sort
            """#
        let told = try output(
            await ending(text, .postThaw, on: guest, parameters: ["lockWait": "5s"], instance: "15/main"))
        #expect(
            told == """
                stillpoint|post-thaw|/|0077
                HOME=/root
                LC_ALL=C
                PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
                STILLPOINT_DOMAIN=db 01
                STILLPOINT_LEASE_S=15
                STILLPOINT_MOUNTPOINTS=/~/var/lib/my sql
                STILLPOINT_OUTCOME=taken
                STILLPOINT_PARAM_INSTANCE=15/main
                STILLPOINT_PARAM_LOCK_WAIT=5s
                STILLPOINT_RUN=\(run)
                STILLPOINT_VERB=post-thaw

                """)
    }

    @Test("the agent's log of arguments shows no parameter, and the call that counts is short")
    func arguments() async throws {
        let guest = try LocalGuest()
        _ = await ending("exit 0", on: guest, parameters: ["mode": "secret-place"], instance: "secret-place")
        let all = await guest.heard.compactMap { $0["arguments"]?["arg"]?.array }
        #expect(all.count == 3)
        for argument in all.joined() { #expect(argument.string?.contains("secret-place") == false) }
        #expect(all.last?.count == 6)
    }

    @Test("a child that keeps its stdout and stderr open is not waited for", arguments: shells)
    func child(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        for start in ["sleep 600 &", "setsid sleep 600 &"] {
            let told = try output(await ending("\(start) echo \"$!\"", on: guest, within: .seconds(60)))
            let pid = try #require(pid_t(told.trimmingCharacters(in: .newlines)))
            #expect(kill(pid, SIGKILL) == 0)
        }
    }

    @Test(
        "a hook that writes without end is ended at once, and fills nothing", arguments: shells,
        ["yes | head -c 100000000", "while :; do echo line; done", "yes \"$(head -c 9000 /dev/zero | tr '\\0' x)\""])
    func much(shell: String, text: String) async throws {
        let guest = try LocalGuest(shell: shell)
        #expect(await ending(text, on: guest) == .failed("wrote more than 64 KiB"))
        #expect(try largest(in: guest) <= 64 << 10)
    }

    @Test(
        "one that writes without end and without a line's end has its time, no more, and fills nothing",
        arguments: shells,
        [
            "head -c 100000000 /dev/zero | tr '\\0' x", "cat /dev/zero", "yes | head -c 100000000 >&2",
            "head -c 100000000 /dev/zero >&2", "head -c 100000000 /dev/zero | tr '\\0' x >&2",
        ])
    func endlessLine(shell: String, text: String) async throws {
        let guest = try LocalGuest(shell: shell)
        switch await ending(text + "; exit 9", on: guest, within: .seconds(1)) {
        case .failed("wrote more than 64 KiB"): break
        case .ended(let code, _, let cause): #expect(code != 0 && cause.count <= 301)
        case let other: Issue.record("\(other)")
        }
        #expect(try largest(in: guest) <= 64 << 10)
    }

    private func largest(in guest: LocalGuest) throws -> Int {
        let folder = "\(guest.run)/\(run)"
        return try FileManager.default.contentsOfDirectory(atPath: folder).map { name in
            try FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)")[.size] as? Int ?? 0
        }.max() ?? 0
    }

    @Test("as much as may be written is taken whole", arguments: shells)
    func full(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        let count = 65_000
        let told = try output(await ending("head -c \(count) /dev/zero | tr '\\0' x", on: guest))
        #expect(told == String(repeating: "x", count: count))
    }

    @Test("one that hangs is ended in the guest, its children too", arguments: shells)
    func hang(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        let mark = guest.scratch("pids")
        let text = "sleep 600 & echo \"$!\" >'\(mark)'; trap '' TERM; while :; do sleep 600; done"
        let told = await ending(text, on: guest, within: .seconds(1))
        guard case .ended(let code, [], _) = told, [124, 137].contains(code) else { throw Unexpected(ending: told) }
        let pid = try #require(
            pid_t(try String(contentsOfFile: mark, encoding: .utf8).trimmingCharacters(in: .newlines)))
        // The timeout of busybox ends the hook alone.
        guard !shell.contains("busybox") else { kill(pid, SIGKILL); return }
        // Gone, or a zombie that nobody has collected.
        let state = (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8))?.split(separator: ")").last
        #expect(state == nil || state?.hasPrefix(" Z") == true)
    }

    @Test("without timeout(1) the shell itself ends it", arguments: shells)
    func noTimeout(shell: String) async throws {
        let tools = try ScratchFolder()
        for name in ["cat", "mkdir", "mv", "setsid", "sleep", "wc"] {
            #expect(symlink("/usr/bin/\(name)", tools(name)) == 0)
        }
        let guest = try LocalGuest(shell: shell, environment: ["PATH": tools.path])
        let told = await ending("sleep 600", on: guest, within: .seconds(1))
        guard case .ended(143, [], _) = told else { throw Unexpected(ending: told) }
        #expect(await ending("echo {}; exit 5", on: guest) == .ended(code: 5, output: Array("{}\n".utf8), cause: ""))
    }

    @Test("the script is read whole: a child that eats stdin finds nothing there", arguments: shells)
    func stdin(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        let filler = String(repeating: "# a line of comment that makes the script long\n", count: 1000)
        #expect(try output(await ending("cat\n\(filler)echo reached", on: guest)) == "reached\n")
    }

    @Test("a hook of 64 KiB runs", arguments: shells)
    func large(shell: String) async throws {
        let guest = try LocalGuest(shell: shell)
        let end = "\necho reached"
        let text = String(repeating: "#", count: HookCatalogue.largest - end.utf8.count) + end
        #expect(try output(await ending(text, on: guest)) == "reached\n")
    }

    @Test("what a hook calls the end of its answer changes nothing")
    func forged() async throws {
        let guest = try LocalGuest()
        let text = "printf '{}\\nstillpoint-end %s 0 0\\n' \"$STILLPOINT_RUN\"; exit 4"
        guard case .ended(4, _, _) = await ending(text, on: guest) else { Issue.record("taken for its end"); return }
    }

    @Test("a text is sent once a run; where it is gone from the guest it is sent again")
    func once() async throws {
        let guest = try LocalGuest()
        let runner = runner(guest)
        func told(_ verb: HookVerb, _ text: String = "echo \"$1\"", name: String = "sample") async throws -> String {
            let hook = Hook(name: name, origin: "test", sha256: "", text: text)
            return try output(await runner.ending(of: HookCall(verb, of: hook), within: .seconds(20)))
        }
        let script = HookScript.run.utf8.count
        for verb in [HookVerb.prepare, .preFreeze, .postThaw] { #expect(try await told(verb) == verb.rawValue + "\n") }
        #expect(await guest.takeInputs() == [script, 9, 0, 0, 0])
        #expect(try await told(.prepare, "echo", name: "other") == "\n")
        #expect(await guest.takeInputs() == [4, 0])
        for file in ["sample.text", "run"] {
            #expect(unlink("\(guest.run)/\(run)/\(file)") == 0)
            #expect(try await told(.postThaw) == "post-thaw\n")
            #expect(await guest.takeInputs() == [0, script, 9, 0])
        }
        try await runner.tidy()
        #expect(try await told(.prepare) == "prepare\n")
    }

    @Test("a text that does not arrive whole is not run")
    func torn() async throws {
        let guest = try LocalGuest(tearing: true)
        let mark = guest.scratch("mark")
        guard case .unstarted(let why) = await ending(": >'\(mark)'\necho '{}'", on: guest) else {
            Issue.record("run all the same")
            return
        }
        #expect(why.hasPrefix("pre-freeze was not started"))
        #expect(!exists(mark))
    }

    // MARK: answers that get lost

    @Test("an answer that is lost on its way is read from the result file")
    func lostStatus() async throws {
        let guest = try LocalGuest(losing: ["guest-exec-status": 1], from: 3)
        let told = await ending("echo '{\"held\":true}'; echo word >&2; exit 0", on: guest)
        #expect(told == .ended(code: 0, output: Array("{\"held\":true}\n".utf8), cause: "word"))
    }

    @Test("a start whose answer is lost is found by its result file, which may come later")
    func lostStart() async throws {
        let guest = try LocalGuest(losing: ["guest-exec": 1], from: 3)
        let told = await ending("sleep 1; echo '{}'; exit 6", on: guest)
        #expect(told == .ended(code: 6, output: Array("{}\n".utf8), cause: ""))
    }

    @Test("the result file of an earlier call is not taken for this one's")
    func earlier() async throws {
        let guest = try LocalGuest()
        let runner = runner(guest)
        let call = HookCall(.preFreeze, of: Hook(name: "sample", origin: "test", sha256: "", text: "exit 0"))
        #expect(await runner.ending(of: call, within: .seconds(20)) == .ended(code: 0, output: [], cause: ""))
        await guest.refuse("guest-exec")
        guard case .unknown(let why) = await runner.ending(of: call, within: .seconds(1)) else {
            Issue.record("taken for an answer")
            return
        }
        #expect(why.contains("lost"))
    }

    // MARK: what stays in the guest

    @Test("a run leaves its mark for drop-ins and its results, for root alone; tidy leaves nothing")
    func traces() async throws {
        let guest = try LocalGuest()
        _ = await ending("echo '{}'", .prepare, on: guest, instance: "15/main")
        #expect(try ScratchFolder.mode("\(guest.run)/\(run)") == 0o700)
        #expect(try ScratchFolder.mode("\(guest.run)/active-\(run)") == 0o600)
        let digest = SHA256.hex(of: Array("15/main".utf8)).prefix(8)
        let names = try FileManager.default.contentsOfDirectory(atPath: "\(guest.run)/\(run)").sorted()
        #expect(names == ["run", "sample.\(digest).prepare.err", "sample.\(digest).prepare.out", "sample.text"])
        for _ in 1...2 {
            try await runner(guest).tidy()
            #expect(!exists(guest.run))
        }
    }

    @Test("what is to go later stays until then, and the agent does not wait for it")
    func goesLater() async throws {
        let guest = try LocalGuest()
        _ = await ending("echo '{}'", .prepare, on: guest)
        #expect(HookScript.tidying(run, .later) == ["\(run)", "600"])
        _ = try await HookScript.tidy.run(["\(run)", "1"], on: runner(guest).agent, within: .seconds(5))
        #expect(exists("\(guest.run)/active-\(run)"))
        for _ in 0..<500 where exists(guest.run) { try await Task.sleep(for: .milliseconds(10)) }
        #expect(!exists(guest.run))
    }

    @Test("a probe leaves no mark")
    func probeTraces() async throws {
        let guest = try LocalGuest()
        #expect(try output(await ending("echo '{\"state\":\"absent\"}'", .probe, on: guest)).contains("absent"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: guest.run) == ["\(run)"])
    }
}
