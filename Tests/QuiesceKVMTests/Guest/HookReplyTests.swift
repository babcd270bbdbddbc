// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Quiesce
import Testing

@testable import QuiesceKVM

@Suite("What a hook answers is hostile until it was read")
struct HookReplyTests {
    private func result(_ text: String, code: Int = 0, cause: String = "") -> HookResult {
        result(Array(text.utf8), code: code, cause: cause)
    }

    private func result(_ bytes: [UInt8], code: Int = 0, cause: String = "") -> HookResult {
        HookRunner.Ending.ended(code: code, output: bytes, cause: cause).result(within: .seconds(30), HookReply.init)
    }

    private func reply(_ text: String) throws -> HookReply {
        guard case .done(let reply) = result(text) else { throw Unread(result: result(text)) }
        return reply
    }

    private struct Unread: Error {
        var result: HookResult
    }

    @Test("a whole answer is read as it was written")
    func whole() throws {
        let reply = try reply(
            """
            {"held":true,"holdMs":123,"lost":null,"whole":true,"detail":"clean",
             "position":{"kind":"mariadb","relation":"exact","file":"binlog.000042","position":1037,"gtid":"0-1-4711",
                         "databases":["a","b"]},
             "facts":{"connectionId":17,"mode":"stage"},
             "artifacts":[{"name":"backup_label","base64":"aGkK"},{"name":"empty","base64":""}]}

            """)
        #expect(reply.held == true && reply.holdMs == 123 && reply.lost == nil)
        #expect(reply.whole == true && reply.detail == "clean")
        #expect(
            reply.position
                == Position(
                    kind: "mariadb", relation: .exact,
                    fields: [
                        "file": .text("binlog.000042"), "position": .number(1037), "gtid": .text("0-1-4711"),
                        "databases": .list(["a", "b"]),
                    ]))
        #expect(reply.facts == ["connectionId": .number(17), "mode": .text("stage")])
        #expect(reply.artifacts.map(\.name) == ["backup_label", "empty"])
        #expect(reply.artifacts.first?.bytes == Array("hi\n".utf8))
        #expect(reply.artifacts.first?.sha256 == SHA256.hex(of: Array("hi\n".utf8)))
    }

    @Test("nothing, white space and an empty object say nothing", arguments: ["", "\n", " \t\r\n", "{}", "\n{ }\n"])
    func empty(text: String) throws {
        #expect(try reply(text) == HookReply())
    }

    @Test("null is as good as left out")
    func null() throws {
        #expect(
            try reply(
                #"{"held":null,"holdMs":null,"lost":null,"position":null,"facts":null,"artifacts":null,"whole":null}"#)
                == HookReply())
    }

    static let hostile: [(text: String, why: String)] = [
        // No JSON object, or not one alone.
        ("{", "not JSON"), ("hello", "not JSON"), ("[]", "an array"), ("null", "null"), ("true", "a boolean"),
        ("\"{}\"", "a string"), ("17", "an integer"), ("1.5", "a real"), ("{} {}", "not JSON"), ("{}x", "not JSON"),
        ("starting up\n{}", "not JSON"), ("{}\u{0}", "not JSON"), ("\u{FEFF}{}", "not JSON"),
        ("{'held':true}", "not JSON"),
        ("{\"held\":true,}", "not JSON"), ("{\"held\":true,\"held\":true}", "not JSON"), ("{\"held\":NaN}", "not JSON"),
        ("{\"held\":tru}", "not JSON"), ("// ok\n{}", "not JSON"), ("{\"a\\u0000b\":1}", "not JSON"),
        (String(repeating: "[", count: 100_000), "longer than"),
        (String(repeating: "{\"facts\":", count: 17) + "{}" + String(repeating: "}", count: 17), "not JSON"),
        ("{\"detail\":\"\(String(repeating: "x", count: 66_000))\"}", "longer than"),
        // Members nobody knows.
        ("{\"state\":\"running\"}", "unknown member state"), ("{\"Held\":true}", "unknown member Held"),
        ("{\"\\u001b[31m\":1}", "unknown member \\u{1B}[31m"), ("{\"\":1}", "unknown member"),
        // The wrong kind.
        ("{\"held\":1}", "an integer as held"), ("{\"held\":\"true\"}", "a string as held"),
        ("{\"held\":[true]}", "an array as held"), ("{\"holdMs\":\"5\"}", "a string as holdMs"),
        ("{\"holdMs\":1.5}", "a real as holdMs"), ("{\"holdMs\":-1}", "holdMs out of its range"),
        ("{\"holdMs\":9223372036854775807}", "holdMs out of its range"),
        ("{\"holdMs\":9223372036854775808}", "not JSON"), ("{\"holdMs\":1e3}", "a real as holdMs"),
        ("{\"lost\":false}", "a boolean as lost"), ("{\"whole\":\"yes\"}", "a string as whole"),
        ("{\"detail\":{}}", "an object as detail"),
        // Positions.
        ("{\"position\":\"0/1\"}", "a string as position"), ("{\"position\":{}}", "position without a kind"),
        ("{\"position\":{\"kind\":\"x\"}}", "neither exact nor atLeast"),
        ("{\"position\":{\"kind\":\"x\",\"relation\":\"about\"}}", "neither exact nor atLeast"),
        ("{\"position\":{\"kind\":\"\",\"relation\":\"exact\"}}", "position without a kind"),
        ("{\"position\":{\"kind\":\"../x\",\"relation\":\"exact\"}}", "position without a kind"),
        ("{\"position\":{\"kind\":7,\"relation\":\"exact\"}}", "an integer as position.kind"),
        ("{\"position\":{\"kind\":\"x\",\"relation\":\"exact\",\"lsn\":1.5}}", "a real as position.lsn"),
        ("{\"position\":{\"kind\":\"x\",\"relation\":\"exact\",\"lsn\":true}}", "a boolean as position.lsn"),
        ("{\"position\":{\"kind\":\"x\",\"relation\":\"exact\",\"lsn\":{\"a\":1}}}", "an object as position.lsn"),
        ("{\"position\":{\"kind\":\"x\",\"relation\":\"exact\",\"l\":[1]}}", "an integer as position.l"),
        ("{\"position\":{\"kind\":\"x\",\"relation\":\"exact\",\"lsn\":\"0/1\\n; DROP\"}}", "control characters"),
        ("{\"position\":{\"kind\":\"x\",\"relation\":\"exact\",\"lsn\":\"\\u202e1/0\"}}", "control characters"),
        ("{\"position\":{\"kind\":\"x\",\"relation\":\"exact\",\"l\":[\"a\\u0007\"]}}", "control characters"),
        ("{\"position\":{\"kind\":\"x\",\"relation\":\"exact\",\"a b\":1}}", "odd name"),
        ("{\"position\":{\"kind\":\"x\",\"relation\":\"exact\",\"\":1}}", "odd name"),
        ("{\"position\":{\"kind\":\"x\",\"relation\":\"exact\",\"$(x)\":1}}", "odd name"),
        (
            "{\"position\":{\"kind\":\"x\",\"relation\":\"exact\",\"g\":\"\(String(repeating: "1", count: 33_000))\"}}",
            "longer than"
        ),
        // Facts.
        ("{\"facts\":[]}", "an array as facts"), ("{\"facts\":{\"a\":{}}}", "an object as facts.a"),
        ("{\"facts\":{\"a.b\":1}}", "odd name"), ("{\"facts\":{\"a\":\"\\u001b]0;x\\u0007\"}}", "control characters"),
        // Artifacts.
        ("{\"artifacts\":{}}", "an object as artifacts"), ("{\"artifacts\":[1]}", "an integer as artifacts[]"),
        ("{\"artifacts\":[{}]}", "without a name"), ("{\"artifacts\":[{\"base64\":\"\"}]}", "without a name"),
        ("{\"artifacts\":[{\"name\":\"../../etc/passwd\",\"base64\":\"\"}]}", "without a name"),
        ("{\"artifacts\":[{\"name\":\".hidden\",\"base64\":\"\"}]}", "without a name"),
        ("{\"artifacts\":[{\"name\":\"..\",\"base64\":\"\"}]}", "without a name"),
        ("{\"artifacts\":[{\"name\":\"\",\"base64\":\"\"}]}", "without a name"),
        ("{\"artifacts\":[{\"name\":\"a b\",\"base64\":\"\"}]}", "without a name"),
        ("{\"artifacts\":[{\"name\":\"a\\nb\",\"base64\":\"\"}]}", "control characters"),
        ("{\"artifacts\":[{\"name\":\"\(String(repeating: "a", count: 65))\",\"base64\":\"\"}]}", "longer than 64"),
        ("{\"artifacts\":[{\"name\":\"a\"}]}", "not base 64"),
        ("{\"artifacts\":[{\"name\":\"a\",\"base64\":1}]}", "an integer"),
        ("{\"artifacts\":[{\"name\":\"a\",\"base64\":\"aGk\"}]}", "not base 64"),
        ("{\"artifacts\":[{\"name\":\"a\",\"base64\":\"aGl=\"}]}", "not base 64"),
        ("{\"artifacts\":[{\"name\":\"a\",\"base64\":\"aG k\"}]}", "not base 64"),
        ("{\"artifacts\":[{\"name\":\"a\",\"base64\":\"aGk=\\n\"}]}", "control characters"),
        ("{\"artifacts\":[{\"name\":\"a\",\"base64\":\"-_==\"}]}", "not base 64"),
        ("{\"artifacts\":[{\"name\":\"a\",\"base64\":\"\",\"mode\":\"0777\"}]}", "unknown member artifacts[].mode"),
        (
            "{\"artifacts\":[{\"name\":\"a\",\"base64\":\"\"},{\"name\":\"a\",\"base64\":\"\"}]}",
            "two artifacts named a"
        ),
        (
            "{\"artifacts\":[\(Array(repeating: "{}", count: 65).joined(separator: ","))]}",
            "more than 64 artifacts"
        ),
    ]

    @Test(
        "an answer that is not what it should be is no success, and says why in one harmless line", arguments: hostile)
    func refused(_ answer: (text: String, why: String)) {
        guard case .failed(let why) = result(answer.text) else {
            Issue.record("\(result(answer.text)) of \(answer.text.prefix(100))")
            return
        }
        #expect(why.hasPrefix("its answer ") && why.contains(answer.why), "\(why) of \(answer.text.prefix(100))")
        #expect(why == why.printable() && why.count < 400)
    }

    @Test(
        "bytes that are no UTF-8 are no success",
        arguments: [[0xFF], [0x7B, 0x22, 0xC0, 0x80, 0x22, 0x3A, 0x31, 0x7D], [0x7B, 0x7D, 0xED, 0xA0, 0x80]]
            as [[UInt8]])
    func bytes(bytes: [UInt8]) {
        guard case .failed = result(bytes) else { Issue.record("\(result(bytes))"); return }
    }

    @Test("words for people lose what a terminal would obey, and their length")
    func words() throws {
        let reply = try reply(#"{"lost":"\u001b[2Jgone\r\n\u202e","detail":"\#(String(repeating: "x", count: 5000))"}"#)
        #expect(reply.lost == #"\u{1B}[2Jgone\u{D}\n\u{202E}"#)
        #expect(reply.detail?.count == HookAnswer.longestWords + 1)
    }

    @Test(
        "exit codes say what they are published to say",
        arguments: [
            (75, "a save is in progress", HookResult.busy("a save is in progress")),
            (75, "", .busy("busy, without a word why")),
            (77, "no role", .denied("no role")), (77, "", .denied("rights are missing, without a word which")),
            (124, "", .unknown("did not end within 30 s and was ended")),
            (143, "", .unknown("did not end within 30 s and was ended")),
            (137, "slow", .unknown("did not end within 30 s and was ended: slow")), (1, "boom", .failed("boom")),
            (3, "", .failed("ended with 3 without a word")), (255, "", .failed("ended with 255 without a word")),
        ])
    func codes(code: Int, cause: String, expected: HookResult) {
        #expect(result("{\"held\":true}", code: code, cause: cause) == expected)
        #expect(result("garbage", code: code, cause: cause) == expected)
    }

    // MARK: probes

    private func probed(_ text: String, _ parameters: [String: String] = [:]) throws -> [ApplicationFacts] {
        let hook = Hook(name: "postgresql", origin: "test", sha256: "", text: "")
        return try ApplicationFacts.read(HookAnswer(Array(text.utf8)), HookChoice(hook, parameters: parameters))
    }

    @Test("one state, or one for each instance")
    func states() throws {
        let one = try probed(#"{"state":"running","role":"replica","version":"15.18","paths":["/var/lib/pg","/wal"]}"#)
        #expect(one.count == 1 && one[0].state == .running && one[0].role == .replica && one[0].version == "15.18")
        #expect(one[0].paths == ["/var/lib/pg", "/wal"] && one[0].instance == nil)
        let two = try probed(
            #"{"instances":[{"name":"15/main","state":"running"},{"name":"15/b","state":"stopped"}]}"#)
        #expect(two.map(\.instance) == ["15/main", "15/b"] && two.map(\.state) == [.running, .stopped])
        #expect(try probed(#"{"instances":[]}"#).map(\.state) == [.absent])
        #expect(
            try probed(#"{"state":"running","denied":"connect: no\n"}"#).map(\.state) == [.denied("connect: no\\n")])
    }

    @Test("an instance that was asked for is the only one")
    func chosen() throws {
        let text = #"{"instances":[{"name":"15/main","state":"running"},{"name":"15/b","state":"stopped"}]}"#
        #expect(try probed(text, ["instance": "15/b"]).map(\.instance) == ["15/b"])
        #expect(try probed(text, ["instance": "15/c"]).map(\.state) == [.absent])
    }

    @Test(
        "a probe's answer that is not what it should be is refused",
        arguments: [
            ("{}", "no state"), ("{\"state\":\"maybe\"}", "unknown state maybe"),
            ("{\"state\":1}", "an integer as state"),
            ("{\"state\":\"running\",\"role\":\"king\"}", "unknown role king"),
            ("{\"state\":\"running\",\"paths\":\"/x\"}", "a string as paths"),
            ("{\"state\":\"running\",\"paths\":[1]}", "an integer as paths"),
            ("{\"state\":\"running\",\"paths\":[\"x\"]}", "not absolute"),
            ("{\"state\":\"running\",\"paths\":[\"/a\\nb\"]}", "control characters"),
            ("{\"state\":\"running\",\"position\":{}}", "unknown member position"),
            ("{\"instances\":{}}", "an object as instances"), ("{\"instances\":[1]}", "an integer as instances[]"),
            ("{\"instances\":[{\"state\":\"running\"}]}", "without a name"),
            ("{\"instances\":[{\"name\":\"\",\"state\":\"running\"}]}", "without a name"),
            ("{\"instances\":[{\"name\":\"a\\u001b\",\"state\":\"running\"}]}", "control characters"),
            (
                "{\"instances\":[{\"name\":\"\(String(repeating: "a", count: 129))\",\"state\":\"running\"}]}",
                "longer than"
            ),
            (
                "{\"instances\":[{\"name\":\"a\",\"state\":\"running\"},{\"name\":\"a\",\"state\":\"running\"}]}",
                "two instances named a"
            ), ("{\"instances\":[],\"state\":\"running\"}", "unknown member state"),
        ])
    func oddProbe(text: String, why: String) throws {
        let oddity = try #require(#expect(throws: HookAnswer.Oddity.self) { try probed(text) })
        #expect(oddity.text.contains(why), "\(oddity.text)")
    }
}
