// SPDX-License-Identifier: Apache-2.0
import GuestAgent
import Testing

@Suite("text from a guest")
struct PrintableTests {
    @Test(
        "what could move, colour, turn or hide text is shown as an escape",
        arguments: [
            ("/srv/data é 日本 😀", "/srv/data é 日本 😀"),
            ("a\u{1B}[31mred\u{1B}]0;t\u{7}", #"a\u{1B}[31mred\u{1B}]0;t\u{7}"#),
            ("a\nb\r\nc\td", #"a\nb\u{D}\nc\td"#),
            ("\u{0}\u{7F}\u{80}\u{9B}31m", #"\u{0}\u{7F}\u{80}\u{9B}31m"#),
            ("\u{202E}txt\u{2066}\u{2069}\u{200F}\u{61C}", #"\u{202E}txt\u{2066}\u{2069}\u{200F}\u{61C}"#),
            ("a\u{200B}\u{FEFF}\u{AD}\u{2028}\u{2029}", #"a\u{200B}\u{FEFF}\u{AD}\u{2028}\u{2029}"#),
            ("\u{E000}\u{10FFFF}\u{E0041}", #"\u{E000}\u{10FFFF}\u{E0041}"#),
        ])
    func escaped(raw: String, shown: String) {
        #expect(raw.printable() == shown)
    }

    @Test("a whole text keeps its lines and tabs, and nothing else that is no print")
    func lines() {
        #expect("a\tb\r\nc\n\u{1B}[2Jd\r\u{202E}".printableLines == "a\tb\nc\n\\u{1B}[2Jd\\u{D}\\u{202E}")
    }

    @Test("long text is cut and says so")
    func cut() {
        #expect("abcdef".printable(limit: 3) == "abc…")
        #expect("abc".printable(limit: 3) == "abc")
        #expect("\n\n\n\n".printable(limit: 2) == #"\n\n…"#)
    }

    @Test("an error's text from the guest cannot leave its line")
    func errors() {
        let hostile = "x\n\u{1B}[2Jguest db1: all is well\u{202E}"
        let kinds: [AgentError.Kind] = [.refused(class: hostile, description: hostile), .busy]
        for kind in kinds {
            let text = AgentError(kind, detail: hostile, command: "guest-ping").description
            #expect(text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0 != "\u{202E}" })
        }
    }
}
