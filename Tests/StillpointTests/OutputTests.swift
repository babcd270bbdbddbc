// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import stillpoint

@Suite("What goes to stdout")
struct OutputTests {
    private static let report = "db01   reasons $(touch /tmp/owned)\n"

    @Test("with --output env is for eval: the lines alone, and where there are none, nothing")
    func environment() throws {
        let plan = try Output.env.words(for: ["x"], nil) { _ in Self.report }
        #expect(plan.output.isEmpty && plan.errors == Self.report)
        let run = try Output.env.words(for: ["x"], "STILLPOINT_RUN='1'\n") { _ in Self.report }
        #expect(run.output == "STILLPOINT_RUN='1'\n" && run.errors.isEmpty)
    }

    @Test("in every other shape is the result, whatever --output env would say")
    func others() throws {
        for (output, told) in [(Output.text, Self.report), (.json, "[\n  \"x\"\n]\n"), (.jsonStream, "[\"x\"]\n")] {
            let words = try output.words(for: ["x"], "STILLPOINT_RUN='1'\n") { _ in Self.report }
            #expect(words.output == told && words.errors.isEmpty)
        }
    }

    @Test("of a command line that cannot be read is what it asked for")
    func asked() {
        for (words, output) in [
            ("snapshot db01", Output.text), ("snapshot --json db01", .json), ("begin --output json", .json),
            ("begin --output=json", .json), ("snapshot --json-stream --json", .jsonStream),
            ("begin --output env --json", .env), ("snapshot --output=json --json-stream", .json),
            ("snapshot --json --output xml", .json), ("run db01 --bogus -- tool --json", .text),
        ] {
            #expect(Output(asked: words.split(separator: " ").map(String.init)) == output, "\(words)")
        }
    }
}
