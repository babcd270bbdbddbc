// SPDX-License-Identifier: Apache-2.0
import GuestAgent
import JSON
import Testing

@Suite("running a program in the guest")
struct ExecTests {
    static let started = ScriptedChannel.Line.reply(#"{"return":{"pid":42}}"#)
    static let running = ScriptedChannel.Line.reply(#"{"return":{"exited":false}}"#)
    static let done = ScriptedChannel.Line.reply(
        #"{"return":{"exited":true,"exitcode":0,"out-data":"aGk=","err-data":"","new-member":[1]}}"#)
    static let gone = ScriptedChannel.Line.reply(
        #"{"error":{"class":"GenericError","desc":"PID 42 does not exist"}}"#)

    let clock = ManualClock()

    func run(
        _ script: [ScriptedChannel.Line], _ command: GuestCommand = GuestCommand("/bin/true"),
        seconds: Int = 10
    ) async throws -> (ExecOutcome, ScriptedChannel) {
        let channel = ScriptedChannel(script)
        let deadline = clock.now.advanced(by: .seconds(seconds))
        let outcome = try await GuestAgent(channel: channel).exec(command, deadline: deadline, clock: clock)
        return (outcome, channel)
    }

    @Test("the request carries arguments, input as base 64, and an environment that is always whole")
    func request() async throws {
        let command = GuestCommand(
            "/bin/sh", arguments: ["-c", "cat; echo \"$1\"", "--", ""],
            environment: ["X": "a b=c", "LC_ALL": "C.UTF-8"], input: Array("hello\n".utf8))
        let (_, channel) = try await run([Self.started, Self.done], command)
        #expect(
            await channel.heard == [
                #"{"execute":"guest-exec","arguments":{"path":"/bin/sh","arg":["-c","cat; echo \"$1\"","--",""],"#
                    + #""env":["HOME=/root","LC_ALL=C.UTF-8","#
                    + #""PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","X=a b=c"],"#
                    + #""capture-output":true,"input-data":"aGVsbG8K"}}"#,
                #"{"execute":"guest-exec-status","arguments":{"pid":42}}"#,
            ])
    }

    @Test("a program that ends is finished, with its output")
    func finished() async throws {
        let (outcome, _) = try await run([Self.started, Self.running, Self.running, Self.done])
        guard case .finished(let result) = outcome else {
            Issue.record("not finished: \(outcome)")
            return
        }
        #expect(result.succeeded)
        #expect(result.stdout.text == "hi")
        #expect(result.stderr.bytes.isEmpty)
        #expect(!result.stdout.isTruncated)
    }

    @Test("a status is asked for after an eighth of what has gone by, from 5 to 500 ms: a minute has fewer than 200")
    func pace() async throws {
        _ = try await run(
            [Self.started] + Array(repeating: Self.running, count: 200) + [Self.done], seconds: 3600)
        var elapsed = Duration.zero
        for pause in clock.pauses {
            #expect(pause == min(max(elapsed / 8, .milliseconds(5)), .milliseconds(500)))
            elapsed += pause
        }
        #expect(elapsed > .seconds(60) && clock.pauses.count == 200)
    }

    @Test("exit code and signal are told apart, and neither or both are refused")
    func exits() async throws {
        let replies = [
            #"{"return":{"exited":true,"exitcode":75}}"#, #"{"return":{"exited":true,"signal":9}}"#,
            #"{"return":{"exited":true}}"#, #"{"return":{"exited":true,"exitcode":0,"signal":9}}"#,
        ]
        var outcomes: [ExecOutcome] = []
        for reply in replies { outcomes.append(try await run([Self.started, .reply(reply)]).0) }
        #expect(outcomes.map(\.exit) == [.code(75), .signal(9), nil, nil])
        let why = malformed("return needs an exitcode or a signal", "guest-exec-status")
        #expect(outcomes[2...] == [.lost(pid: 42, why), .lost(pid: 42, why)])
    }

    @Test("at the deadline the program is unfinished, after one last look")
    func deadline() async throws {
        let (outcome, _) = try await run([Self.started] + Array(repeating: Self.running, count: 1000), seconds: 1)
        #expect(outcome == .unfinished(pid: 42, .deadline))
        #expect(clock.now.sinceStart == .seconds(1))
    }

    @Test("a program whose deadline has passed is not started")
    func tooLate() async throws {
        let channel = ScriptedChannel([Self.started])
        await #expect(throws: AgentError(.notSent("its deadline has passed"), command: "guest-exec")) {
            try await GuestAgent(channel: channel).exec(GuestCommand("/bin/true"), deadline: clock.now, clock: clock)
        }
        #expect(await channel.heard.isEmpty)
    }

    @Test("a cancelled wait leaves the program unfinished")
    func cancelled() async throws {
        let channel = ScriptedChannel([Self.started, Self.running, Self.done])
        let clock = clock
        let outcome = try await Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await GuestAgent(channel: channel)
                .exec(GuestCommand("/bin/true"), deadline: clock.now.advanced(by: .seconds(9)), clock: clock)
        }.value
        #expect(outcome == .unfinished(pid: 42, .cancelled))
    }

    @Test("a result whose reply got lost is lost, not success: the agent has forgotten the PID")
    func lostReply() async throws {
        let (outcome, channel) = try await run([Self.started, Self.running, .failure(.timedOut), Self.gone])
        let refused = AgentError.Kind.refused(class: "GenericError", description: "PID 42 does not exist")
        #expect(outcome == .lost(pid: 42, AgentError(refused, command: "guest-exec-status")))
        #expect(await channel.heard.count == 4)
    }

    @Test("a status that was only late, or had to wait for its turn, is asked for again")
    func lateReply() async throws {
        let (outcome, _) = try await run([
            Self.started, .failure(.busy), .failure(.unresponsive), .failure(.timedOut), Self.running, Self.done,
        ])
        #expect(outcome.exit == .code(0))
    }

    @Test("an agent that does not answer until the deadline has lost the result")
    func silent() async throws {
        let script = [Self.started] + Array(repeating: ScriptedChannel.Line.failure(.unresponsive), count: 1000)
        let (outcome, _) = try await run(script, seconds: 1)
        #expect(outcome == .lost(pid: 42, AgentError(.unresponsive, command: "guest-exec-status")))
    }

    @Test(
        "a start without an answer may have started: lost without a PID",
        arguments: [
            AgentError.Kind.timedOut, .unresponsive, .disconnected, .channelBroken, .hypervisorFailed,
        ])
    func startUnanswered(kind: AgentError.Kind) async throws {
        let (outcome, channel) = try await run([.failure(kind)])
        #expect(outcome == .lost(pid: nil, AgentError(kind, command: "guest-exec")))
        #expect(await channel.heard.count == 1)
    }

    @Test("a start with a malformed answer may have started too", arguments: [#"{"pid":0}"#, #"{"pid":"42"}"#, "{}"])
    func startMalformed(returned: String) async throws {
        let (outcome, _) = try await run([.reply(#"{"return":\#(returned)}"#), Self.done])
        guard case .lost(pid: nil, let error) = outcome, case .malformedReply = error.kind else {
            Issue.record("not lost: \(outcome)")
            return
        }
    }

    @Test(
        "a start that surely did not happen is thrown",
        arguments: [
            AgentError.Kind.notConnected, .commandDisabled, .permissionDenied, .domainNotRunning, .busy,
            .refused(class: "GenericError", description: "Failed to execute child process"),
        ])
    func startRefused(kind: AgentError.Kind) async throws {
        await #expect(throws: AgentError(kind, command: "guest-exec")) { try await run([.failure(kind)]) }
    }

    @Test(
        "what could not arrive whole is refused before it is sent",
        arguments: [
            GuestCommand("/bin/sh", input: [UInt8](repeating: 65, count: 64 * 1024 + 1)),
            GuestCommand(""), GuestCommand("/bin/sh\0"), GuestCommand("/bin/sh", arguments: ["a\0b"]),
            GuestCommand("/bin/sh", environment: ["A=B": "c"]), GuestCommand("/bin/sh", environment: ["": "c"]),
            GuestCommand("/bin/sh", environment: ["A": "\0"]),
            GuestCommand("/bin/sh", arguments: [String(repeating: "x", count: 120 * 1024)]),
        ])
    func notSent(command: GuestCommand) async throws {
        let channel = ScriptedChannel([Self.started])
        let deadline = clock.now.advanced(by: .seconds(1))
        let error = await #expect(throws: AgentError.self) {
            try await GuestAgent(channel: channel).exec(command, deadline: deadline, clock: clock)
        }
        guard case .notSent = error?.kind else {
            Issue.record("not notSent: \(String(describing: error))")
            return
        }
        #expect(await channel.heard.isEmpty)
    }

    @Test("64 KiB of input fit")
    func largestInput() async throws {
        let command = GuestCommand("/bin/sh", input: [UInt8](repeating: 65, count: 64 * 1024))
        #expect(try await run([Self.started, Self.done], command).0.exit == .code(0))
    }

    @Test(
        "output beyond 64 KiB is cut and marked, and the agent's own mark is kept",
        arguments: [65536, 65537, 300_000])
    func truncation(size: Int) async throws {
        let data = String(repeating: "QUFB", count: size / 3) + ["", "QQ==", "QUE="][size % 3]
        let status = #"""
            {"return":{"exited":true,"exitcode":0,"out-data":"\#(data)","err-data":"QQ==","err-truncated":true}}
            """#
        let (outcome, _) = try await run([Self.started, .reply(status)])
        guard case .finished(let result) = outcome else {
            Issue.record("not finished: \(outcome)")
            return
        }
        #expect(result.stdout.bytes == [UInt8](repeating: 65, count: 65536))
        #expect(result.stdout.isTruncated == (size > 65536))
        #expect(result.stderr.bytes == [65])
        #expect(result.stderr.isTruncated)
    }

    @Test(
        "output that is not base 64 is refused",
        arguments: ["QQ", "QQ=", "Q===", "Q Q=", "QR==", "QUF=", "=QQQ", "QQ==QQ==", "QQ__", "é==="])
    func notBase64(data: String) async throws {
        let reply = #"{"return":{"exited":true,"exitcode":0,"out-data":"\#(data)"}}"#
        let (outcome, _) = try await run([Self.started, .reply(reply)])
        let why = malformed("return.out-data is not base 64", "guest-exec-status")
        #expect(outcome == .lost(pid: 42, why))
    }

    @Test("every byte and every length survives base 64, both ways")
    func base64() async throws {
        for length in [0, 1, 2, 3, 255, 256, 257] {
            let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 * 7) }
            let (_, channel) = try await run([Self.started, Self.done], GuestCommand("/bin/cat", input: bytes))
            let request = try JSONValue(parsing: try #require(await channel.heard.first))
            let sent = request["arguments"]?["input-data"]?.string ?? ""
            let reply = #"{"return":{"exited":true,"exitcode":0,"out-data":"\#(sent)"}}"#
            let (outcome, _) = try await run([Self.started, .reply(reply)])
            guard case .finished(let result) = outcome else {
                Issue.record("not finished: \(outcome)")
                return
            }
            #expect(result.stdout.bytes == bytes)
        }
    }
}

extension ExecOutcome {
    fileprivate var exit: ExecResult.Exit? {
        guard case .finished(let result) = self else { return nil }
        return result.exit
    }
}
