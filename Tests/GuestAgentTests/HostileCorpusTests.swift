// SPDX-License-Identifier: Apache-2.0
import GuestAgent
import JSON
import Testing

@Suite("a corpus of hostile replies")
struct HostileCorpusTests {
    typealias Question = HostileReplyTests.Question

    static let corpus: [String] = depths + sizes + cuts + characters + numbers + structures

    private static let depths = [17, 32, 33, 64, 65, 512, 100_000].flatMap { depth in
        [("[", "]"), (#"{"a":"#, "}"), (#"[{"b":"#, "}]")].flatMap { open, close in
            let (opened, closed) = (String(repeating: open, count: depth), String(repeating: close, count: depth))
            return [#"{"return":"# + opened, #"{"return":"# + opened + "1" + closed + "}"]
        }
    }

    private static let members: String = (0..<50_000).map { #""m\#($0)":1"# }.joined(separator: ",")

    private static let sizes: [String] =
        [1 << 16, 1 << 20, 4 << 20, 10 << 20, 11 << 20].flatMap { size in
            let text = String(repeating: "x", count: size)
            return [text, #"{"return":"\#(text)"}"#, #"{"\#(text)":1}"#, #"{"error":{"class":"a","desc":"\#(text)"}}"#]
        } + [
            #"{"return":["# + String(repeating: "1,", count: 200_000) + "1]}",
            #"{"return":["# + String(repeating: "[],", count: 100_000) + "1]}",
            #"{"return":{"# + members + "}}",
            #"{"return":"# + String(repeating: "9", count: 500_000) + "}",
            #"{"return":0."# + String(repeating: "0", count: 500_000) + "1}",
            #"{"return":"# + String(repeating: " ", count: 1 << 20) + "2}",
            #"{"return":"# + String(repeating: "\n", count: 500_000) + "2}",
        ]

    /// Every good reply, ended at a tenth, two tenths, … of its length.
    private static let cuts = Question.allCases.flatMap { question in
        (1..<10).map { String(question.rawValue.prefix(question.rawValue.count * $0 / 10)) }
    }

    private static let characters: [String] =
        (UInt8(0)..<32).flatMap { code -> [String] in
            let raw = String(UnicodeScalar(code))
            let escaped = #"\u00"# + (code < 16 ? "0" : "") + String(code, radix: 16)
            return [#"{"return":"\#(raw)"}"#, #"{"error":{"class":"a","desc":"\#(escaped)"}}"#]
        }
        + [
            "\u{7F}", "\u{9B}31m", "\u{1B}[2J", "\u{1B}]0;owned\u{7}", "\u{202E}", "\u{2066}", "\u{200B}", "\u{FEFF}",
            "\u{2028}", "\u{E000}", "\u{FFFF}", "\u{10FFFF}", "\u{E0041}", "e\u{301}", "\r\nthawed",
        ].flatMap { text -> [String] in
            let escaped = JSONValue.string(text)
            let error: JSONValue = ["error": ["class": escaped, "desc": escaped]]
            let whole: JSONValue = ["return": escaped]
            return [text + #"{"return":2}"#, #"{"return":2}"# + text] + [error, whole].compactMap { try? $0.text() }
        }
        + [#"\ud800"#, #"\udfff"#, #"\ud800\ud800"#, #"\udc00\ud800"#, #"\ud83d\u0041"#, #"\u12"#, #"\x41"#, #"\"#].map
    {
        #"{"return":"\#($0)"}"#
    }

    private static let numbers = [
        "-1", "-0", "00", "01", "+1", ".5", "1.", "1e", "1e5", "1E400", "-1e400", "0x10", "1_000", "1,5", "2.0", "1.5",
        "NaN",
        "Infinity", "-Infinity", "4097", "2147483648", "4294967296", "9223372036854775807", "9223372036854775808",
        "-9223372036854775808", "-9223372036854775809", "18446744073709551616", "1e-400", "\"2\"", "[2]", "{\"n\":2}",
        "true",
        "null", "TRUE", "nul", "tru", "2 2", "２",
    ].map { #"{"return":\#($0)}"# }

    private static let structures = [
        "", "{", "}", "[", "]", "{}", "[]", "null", "{}{}", "[{}]", #"{"return"}"#, #"{"return":}"#, #"{return:2}"#,
        #"{'return':2}"#, #"{"return":2,}"#, #"{,"return":2}"#, #"{"return":2}}"#, #"{"return":2} {"return":3}"#,
        #"{"return":2,"return":2}"#, #"{"return":2,"error":{"class":"a","desc":"b"}}"#, #"{"error":2}"#,
        #"{"error":{}}"#,
        #"{"error":{"class":"a","desc":null}}"#, #"{"QMP":{}}"#, #"{"event":"RESET"}"#,
        #"{"execute":"guest-shutdown"}"#,
        #"{"return":{"pid":0}}"#, #"{"return":{"pid":-1}}"#, #"{"return":{"pid":1e3}}"#,
        #"{"return":{"exited":1}}"#, #"{"return":{"exited":true,"exitcode":"0"}}"#,
        #"{"return":{"exited":true,"exitcode":0,"out-data":"*"}}"#,
        #"{"return":{"exited":true,"exitcode":0,"out-data":"A"}}"#,
        #"{"return":{"exited":true,"signal":-9}}"#, #"{"return":{"exited":false,"exitcode":0}}"#, "// 2", "/* */ 2",
        "\u{1F}{\"return\":2}", "{\"return\":2}\u{0}", "HTTP/1.1 200 OK\r\n\r\n{\"return\":2}",
    ]

    @Test("it has more than 200 different ones")
    func size() {
        #expect(Set(Self.corpus).count > 200)
    }

    @Test("each is answered in time by a value or a clean error, whatever was asked")
    func played() async throws {
        for reply in Self.corpus {
            for question in Question.allCases {
                let begin = ContinuousClock.now
                let error = await question.failure(on: reply)
                let took = ContinuousClock.now - begin
                #expect(took < .seconds(10), "\(reply.prefix(80)) took \(took)")
                let told = error.map { "\($0)" } ?? ""
                #expect(told == told.printable(limit: 1 << 16), "\(reply.prefix(80)) comes out raw")
                #expect(told.utf8.count < 16 << 10)
            }
        }
    }
}
