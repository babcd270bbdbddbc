// SPDX-License-Identifier: Apache-2.0
import Foundation
import GuestAgent
import JSON
import Testing

@Suite("a corpus of hostile replies")
struct HostileCorpusTests {
    typealias Question = HostileReplyTests.Question

    static let corpus: [String] = depths + sizes + cuts + characters + numbers + structures

    private static let depths: [String] = {
        var replies: [String] = []
        let brackets: [(String, String)] = [("[", "]"), (#"{"a":"#, "}"), (#"[{"b":"#, "}]")]
        for depth: Int in [17, 32, 33, 64, 65, 512, 100_000] {
            for (open, close) in brackets {
                let start: String = #"{"return":"# + String(repeating: open, count: depth)
                replies.append(start)
                replies.append("\(start)1\(String(repeating: close, count: depth))}")
            }
        }
        return replies
    }()

    private static let sizes: [String] = {
        var replies: [String] = []
        for size: Int in [1 << 16, 1 << 20, 4 << 20, 10 << 20, 11 << 20] {
            let text = String(repeating: "x", count: size)
            replies.append(text)
            replies.append(#"{"return":"\#(text)"}"#)
            replies.append(#"{"\#(text)":1}"#)
            replies.append(#"{"error":{"class":"a","desc":"\#(text)"}}"#)
        }
        for (part, count): (String, Int) in [("1,", 200_000), ("[],", 100_000)] {
            replies.append(#"{"return":[\#(String(repeating: part, count: count))1]}"#)
        }
        for (part, count): (String, Int) in [("9", 500_000), (" ", 1 << 20), ("\n", 500_000)] {
            replies.append(#"{"return":\#(String(repeating: part, count: count))2}"#)
        }
        let members: [String] = (0..<50_000).map { (number: Int) -> String in "\"m\(number)\":1" }
        replies.append(#"{"return":{\#(members.joined(separator: ","))}}"#)
        return replies
    }()

    /// Every good reply, ended at a tenth, two tenths, … of its length.
    private static let cuts: [String] = {
        var replies: [String] = []
        for question in Question.allCases {
            let whole = question.rawValue
            for tenth in 1..<10 { replies.append(String(whole.prefix(whole.count * tenth / 10))) }
        }
        return replies
    }()

    private static let characters: [String] = {
        var replies: [String] = []
        for code in UInt8(0)..<32 {
            let digits: String = (code < 16 ? "0" : "") + String(code, radix: 16)
            replies.append("{\"return\":\"\(String(UnicodeScalar(code)))\"}")
            replies.append(#"{"error":{"class":"a","desc":"\u00\#(digits)"}}"#)
        }
        let texts: [String] = [
            "\u{7F}", "\u{9B}31m", "\u{1B}[2J", "\u{1B}]0;owned\u{7}", "\u{202E}", "\u{2066}", "\u{200B}", "\u{FEFF}",
            "\u{2028}", "\u{E000}", "\u{FFFF}", "\u{10FFFF}", "\u{E0041}", "e\u{301}", "\r\nthawed",
        ]
        for text in texts {
            let error: JSONValue = ["error": ["class": .string(text), "desc": .string(text)]]
            let whole: JSONValue = ["return": .string(text)]
            replies.append("\(text){\"return\":2}")
            replies.append("{\"return\":2}\(text)")
            if let reply = try? error.text() { replies.append(reply) }
            if let reply = try? whole.text() { replies.append(reply) }
        }
        let escapes: [String] = [
            #"\ud800"#, #"\udfff"#, #"\ud800\ud800"#, #"\udc00\ud800"#, #"\ud83d\u0041"#, #"\u12"#, #"\x41"#, #"\"#,
        ]
        for escape in escapes { replies.append("{\"return\":\"\(escape)\"}") }
        return replies
    }()

    private static let numbers: [String] = [
        "-1", "-0", "00", "01", "+1", ".5", "1.", "1e", "1e5", "1E400", "-1e400", "0x10", "1_000", "1,5", "2.0", "1.5",
        "NaN",
        "Infinity", "-Infinity", "4097", "2147483648", "4294967296", "9223372036854775807", "9223372036854775808",
        "-9223372036854775808", "-9223372036854775809", "18446744073709551616", "1e-400", "\"2\"", "[2]", "{\"n\":2}",
        "true",
        "null", "TRUE", "nul", "tru", "2 2", "２",
    ].map { (number: String) -> String in "{\"return\":\(number)}" }

    private static let structures: [String] = [
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

    @Test("all of them together cost at most 32 MiB of memory")
    func memory() async {
        // A process of its own, for the memory of the tests beside it is not ours.
        await #expect(processExitsWith: .success) {
            let corpus = HostileCorpusTests.corpus
            let before = try Memory.peakFromNow()
            for reply in corpus { for question in Question.allCases { _ = await question.failure(on: reply) } }
            let grown = try Memory.peak() - before
            try #require(grown <= 32 << 20, "grew by \(grown) bytes")
        }
    }
}

/// Of this process, in bytes, by its status (proc(5)).
private enum Memory {
    /// What it has now; from now on that is its peak.
    static func peakFromNow() throws -> Int {
        let file = try #require(FileHandle(forWritingAtPath: "/proc/self/clear_refs"))
        try file.write(contentsOf: Data("5".utf8))
        try file.close()
        return try peak()
    }

    static func peak() throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
        return try #require(Int(line.filter(\.isNumber))) << 10
    }
}
