// SPDX-License-Identifier: Apache-2.0
import GuestAgent
import JSON
import Testing

@Suite("hostile replies")
struct HostileReplyTests {
    /// Every command that reads a reply, with a reply that it takes.
    enum Question: String, CaseIterable {
        case ping = #"{"return":{}}"#
        case info = #"{"return":{"version":"7.2.22","supported_commands":[{"name":"guest-ping","enabled":true}]}}"#
        case osInfo = #"{"return":{"id":"debian","pretty-name":"Debian","kernel-release":"6.1"}}"#
        case filesystems = #"""
            {"return":[{"name":"vda1","mountpoint":"/","type":"ext4","used-bytes":1,"total-bytes":2,"disk":[
            {"bus-type":"virtio","bus":0,"target":0,"unit":0,"serial":"s","dev":"/dev/vda1",
            "pci-controller":{"domain":0,"bus":4,"slot":0,"function":0}}]}]}
            """#
        case time = #"{"return":1795386667412345678}"#
        case status = #"{"return":"frozen"}"#
        case freeze = #"{"return":2}"#
        case thaw = #"{"return":3}"#
        case exec = #"{"return":{"pid":42}}"#
        case execStatus = #"{"return":{"exited":true,"exitcode":0,"out-data":"aGk=","out-truncated":false}}"#

        /// The error that the reply gives, nil if it is taken.
        func failure(on reply: String) async -> AgentError? {
            do throws(AgentError) {
                switch self {
                case .ping: try await agent(reply).ping()
                case .info: _ = try await agent(reply).info()
                case .osInfo: _ = try await agent(reply).osInfo()
                case .filesystems: _ = try await agent(reply).filesystems()
                case .time: _ = try await agent(reply).time()
                case .status: _ = try await agent(reply).freezeStatus()
                case .freeze: _ = try await agent(reply).freeze(mountpoints: ["/"], timeout: .seconds(1))
                case .thaw: _ = try await agent(reply).thaw(timeout: .seconds(1))
                case .exec: return try await execFailure(reply, Self.execStatus.rawValue)
                case .execStatus: return try await execFailure(Self.exec.rawValue, reply)
                }
                return nil
            } catch {
                return error
            }
        }

        private func agent(_ replies: String...) -> GuestAgent {
            GuestAgent(channel: ScriptedChannel(replies.map(ScriptedChannel.Line.reply)))
        }

        private func execFailure(_ replies: String...) async throws(AgentError) -> AgentError? {
            let agent = GuestAgent(channel: ScriptedChannel(replies.map(ScriptedChannel.Line.reply)))
            let clock = ManualClock()
            let deadline = clock.now.advanced(by: .seconds(1))
            switch try await agent.exec(GuestCommand("/bin/true"), deadline: deadline, clock: clock) {
            case .finished: return nil
            case .lost(_, let error): return error
            case .unfinished: return AgentError(.timedOut)
            }
        }
    }

    @Test("the reply that each command expects is taken", arguments: Question.allCases)
    func expected(question: Question) async {
        #expect(await question.failure(on: question.rawValue) == nil)
    }

    static let nowhere: [String] =
        [
            "", " ", "null", "true", "3", "\"frozen\"", "[]", "{}", "{\"return\"", "{\"return\":}", "return",
            #"{"return":2}{"return":2}"#, #"{"return":2} x"#, #"{"return":2,}"#, #"{"return":2,"return":3}"#,
            #"{"return":{},"error":{"class":"a","desc":"b"}}"#, #"{"error":{}}"#, #"{"error":"x"}"#, #"{"error":null}"#,
            #"{"error":{"class":1,"desc":"b"}}"#, #"{"error":{"class":"a"}}"#, #"{"Return":2}"#,
            #"{"return":9223372036854775808}"#, #"{"return":-9223372036854775809}"#, #"{"return":1e999}"#,
            #"{"return":NaN}"#, #"{"return":-Infinity}"#, #"{"return":01}"#, #"{"return":"\ud800"}"#,
            #"{"return":"\udc00\ud800"}"#, "{\"return\":\"a\0b\"}", "{\"return\":\"a\nb\"}", "{\"return\":2}\0",
            "\u{FEFF}{\"return\":2}", "\u{1B}[2J{\"return\":2}", "{'return':2}", "/**/{\"return\":2}",
            #"{"return":{"a\u0000b":1}}"#, #"{"return":{"a":1,"a":1}}"#,
            "{\"return\":" + String(repeating: "[", count: 33) + String(repeating: "]", count: 33) + "}",
            "{\"return\":" + String(repeating: "[", count: 100_000),
            "{\"return\":\"" + String(repeating: "x", count: 1_153_434) + "\"}",
        ]

    @Test("a reply that is no reply is refused as malformed by every command", arguments: nowhere)
    func refusedEverywhere(reply: String) async {
        for question in Question.allCases {
            guard case .malformedReply(let why) = await question.failure(on: reply)?.kind else {
                Issue.record("\(question) took it")
                continue
            }
            #expect(!why.contains("\n"))
        }
    }

    @Test(
        "a count is a whole number from 0 to 4096",
        arguments: [
            "-1", "4097", "9223372036854775807", "-9223372036854775808", "1.0", "1.5", "2e0", #""3""#, "null", "true",
            "[2]", "{}", #"{"count":2}"#,
        ])
    func counts(returned: String) async {
        for question in [Question.freeze, .thaw] {
            guard case .malformedReply = await question.failure(on: #"{"return":\#(returned)}"#)?.kind else {
                Issue.record("\(question) took \(returned)")
                continue
            }
        }
        #expect(await Question.thaw.failure(on: #"{"return":0}"#) == nil)
        #expect(await Question.thaw.failure(on: #"{"return":4096}"#) == nil)
    }

    /// What may stand where it does not belong.
    static let strangers: [JSONValue] = [
        nil, true, -2, 1.5, .integer(.max), .integer(.min), "", "3", "\u{0}", "\u{1B}[31m\u{202E}\n", [], [nil], [[]],
        [:], ["class": "x"], .string(String(repeating: "A", count: 5000)), .array(Array(repeating: 1, count: 5000)),
    ]

    @Test("wherever in a reply another value stands, it is taken or refused as malformed", arguments: Question.allCases)
    func misplaced(question: Question) async throws {
        let good = try JSONValue(parsing: question.rawValue)
        var refused = 0
        for variant in Self.variants(of: good) {
            guard let error = await question.failure(on: try variant.text()) else { continue }
            guard case .malformedReply = error.kind else {
                Issue.record("\(try variant.text()) gave \(error)")
                continue
            }
            refused += 1
        }
        #expect(refused > 10)
    }

    /// The value with one part, at any depth, left out or replaced by each of the strangers.
    static func variants(of value: JSONValue) -> [JSONValue] {
        var variants = strangers
        switch value {
        case .array(let elements):
            for (index, element) in elements.enumerated() {
                variants += Self.variants(of: element).map { variant in
                    var changed = elements
                    changed[index] = variant
                    return .array(changed)
                }
            }
        case .object(let members):
            for (name, member) in members {
                variants += (Self.variants(of: member) as [JSONValue?] + [nil as JSONValue?]).map { variant in
                    var changed = members
                    changed[name] = variant
                    return .object(changed)
                }
            }
        default: break
        }
        return variants
    }
}
