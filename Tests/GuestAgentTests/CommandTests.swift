// SPDX-License-Identifier: Apache-2.0
import GuestAgent
import JSON
import Testing

@Suite("agent commands")
struct CommandTests {
    @Test("a request is one line of JSON, and a question has five seconds")
    func request() async throws {
        let channel = ScriptedChannel(#"{"return":{}}"#)
        try await GuestAgent(channel: channel).ping()
        #expect(await channel.heard == [#"{"execute":"guest-ping"}"#])
        #expect(await channel.timeouts == [.seconds(5)])
    }

    @Test("freeze names the mount points exactly and gives the agent's count")
    func freeze() async throws {
        let channel = ScriptedChannel(#"{"return":2}"#)
        let mountpoints = ["/", "/srv/a \"b\"\n\\é"]
        #expect(try await GuestAgent(channel: channel).freeze(mountpoints: mountpoints, timeout: .seconds(4)) == 2)
        #expect(
            await channel.heard == [
                #"{"execute":"guest-fsfreeze-freeze-list","arguments":{"mountpoints":["/","/srv/a \"b\"\n\\é"]}}"#
            ])
        #expect(await channel.timeouts == [.seconds(4)])
    }

    @Test("a freeze of nothing is not sent, because the agent would run its freeze hook and never its thaw hook")
    func freezeNothing() async throws {
        let channel = ScriptedChannel()
        let error = await #expect(throws: AgentError.self) {
            try await GuestAgent(channel: channel).freeze(mountpoints: [], timeout: .seconds(1))
        }
        #expect(error?.mayHaveRun == false)
        #expect(await channel.heard.isEmpty)
    }

    @Test("thaw is sent without asking the status first")
    func thaw() async throws {
        let channel = ScriptedChannel(#"{"return":3}"#)
        #expect(try await GuestAgent(channel: channel).thaw(timeout: .seconds(10)) == 3)
        #expect(await channel.heard == [#"{"execute":"guest-fsfreeze-thaw"}"#])
    }

    @Test(
        "a timeout is rounded down to whole seconds, within a second and an hour",
        arguments: [
            (Duration.milliseconds(4900), Duration.seconds(4)), (.milliseconds(10), .seconds(1)),
            (.seconds(-3), .seconds(1)), (.seconds(Int64.max), .seconds(3600)),
        ])
    func timeouts(asked: Duration, sent: Duration) async throws {
        let channel = ScriptedChannel(#"{"return":0}"#)
        _ = try await GuestAgent(channel: channel).thaw(timeout: asked)
        #expect(await channel.timeouts == [sent])
    }

    @Test("the status is read as what it says, and as nothing else", arguments: ["frozen", "thawed"])
    func status(text: String) async throws {
        let channel = ScriptedChannel(#"{"return":"\#(text)"}"#, #"{"return":"Frozen"}"#)
        let agent = GuestAgent(channel: channel)
        #expect(try await agent.freezeStatus() == FreezeStatus(rawValue: text))
        await #expect(throws: malformed("return is neither frozen nor thawed", "guest-fsfreeze-status")) {
            try await agent.freezeStatus()
        }
    }

    @Test("the guest's time is exact to the nanosecond")
    func time() async throws {
        let channel = ScriptedChannel(#"{"return":1795386667412345678}"#)
        #expect(try await GuestAgent(channel: channel).time() == .nanoseconds(1_795_386_667_412_345_678))
    }

    @Test("a pipe is opened for reading too, and what is written to it is there when it is closed")
    func pipe() async throws {
        let channel = ScriptedChannel(
            #"{"return":1000}"#, #"{"return":{"count":3,"eof":false}}"#, #"{"return":{}}"#,
            #"{"return":{"count":2,"eof":false}}"#)
        let agent = GuestAgent(channel: channel)
        let pipe = try await agent.openPipe("/run/x")
        try await agent.write(Array("go\n".utf8), closing: pipe)
        #expect(
            await channel.heard == [
                #"{"execute":"guest-file-open","arguments":{"path":"/run/x","mode":"r+"}}"#,
                #"{"execute":"guest-file-write","arguments":{"handle":1000,"buf-b64":"Z28K"}}"#,
                #"{"execute":"guest-file-close","arguments":{"handle":1000}}"#,
            ])
        await #expect(throws: malformed("return.count is not what was sent", "guest-file-write")) {
            try await agent.write(Array("go\n".utf8), closing: pipe)
        }
        let error = await #expect(throws: AgentError.self) {
            try await agent.write(Array(repeating: 0, count: 4097), closing: pipe)
        }
        #expect(error?.mayHaveRun == false)
    }

    @Test("a request too large for an agent is not sent")
    func tooLarge() async throws {
        let channel = ScriptedChannel()
        let mountpoints = (0..<4000).map { "/srv/volumes/a-rather-long-name-for-a-mount-point-\($0)" }
        let error = await #expect(throws: AgentError.self) {
            try await GuestAgent(channel: channel).freeze(mountpoints: mountpoints, timeout: .seconds(1))
        }
        #expect(error?.mayHaveRun == false)
        #expect(await channel.heard.isEmpty)
    }

    @Test("an error reply is what the agent said; a command that is off is its own kind")
    func errorReplies() async throws {
        let channel = ScriptedChannel(
            #"{"error":{"class":"GenericError","desc":"failed to freeze /srv: \u001b[2J"}}"#,
            #"{"error":{"class":"CommandNotFound","desc":"Command guest-ping has been disabled"}}"#)
        let agent = GuestAgent(channel: channel)
        let refused = await #expect(throws: AgentError.self) { try await agent.ping() }
        #expect(refused?.kind == .refused(class: "GenericError", description: "failed to freeze /srv: \u{1B}[2J"))
        #expect(
            refused?.description == #"guest-ping: agent refused, GenericError: failed to freeze /srv: \u{1B}[2J"#)
        let disabled = await #expect(throws: AgentError.self) { try await agent.ping() }
        #expect(disabled?.kind == .commandDisabled)
        #expect(disabled?.detail == "Command guest-ping has been disabled")
    }

    @Test("the channel's error passes through, with the command's name")
    func channelErrors() async throws {
        let kinds: [AgentError.Kind] = [
            .notConnected, .domainNotRunning, .permissionDenied, .busy, .unresponsive, .timedOut, .disconnected,
            .channelBroken, .hypervisorFailed,
        ]
        let channel = ScriptedChannel(kinds.map(ScriptedChannel.Line.failure))
        let agent = GuestAgent(channel: channel)
        for kind in kinds {
            await #expect(throws: AgentError(kind, command: "guest-info")) { try await agent.info() }
        }
    }

    @Test("only errors that prove it say that a command did not run")
    func mayHaveRun() {
        let surelyNot: [AgentError.Kind] = [
            .notSent("x"), .notConnected, .domainNotRunning, .commandDisabled, .permissionDenied, .busy,
        ]
        let perhaps: [AgentError.Kind] = [
            .refused(class: "c", description: "d"), .unresponsive, .timedOut, .disconnected, .channelBroken,
            .malformedReply("x"), .hypervisorFailed,
        ]
        #expect(surelyNot.allSatisfy { !AgentError($0).mayHaveRun })
        #expect(perhaps.allSatisfy { AgentError($0).mayHaveRun })
    }
}

func malformed(_ why: String, _ command: String) -> AgentError {
    AgentError(.malformedReply(why), command: command)
}
