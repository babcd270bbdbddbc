// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Quiesce

@Suite("Timestamp")
struct TimestampTests {
    private let cut = Timestamp(milliseconds: 1_795_383_067_412, offset: 3600)

    @Test("in UTC it is ISO 8601 with milliseconds")
    func utc() {
        #expect(cut.utc == "2026-11-22T21:31:07.412Z")
    }

    @Test(
        "for people it is local time with its offset",
        arguments: [
            (3600, "2026-11-22 22:31:07.412 +01:00"), (0, "2026-11-22 21:31:07.412 +00:00"),
            (-12_600, "2026-11-22 18:01:07.412 -03:30"), (20_700, "2026-11-23 03:16:07.412 +05:45"),
        ])
    func local(offset: Int, expected: String) {
        #expect(Timestamp(milliseconds: cut.milliseconds, offset: offset).local == expected)
    }

    @Test("no millisecond is lost or gained in the text, whichever it is")
    func everyMillisecond() {
        let wrong = (Int64(0)..<1000).filter { millisecond in
            let digits = String(1000 + millisecond).dropFirst()
            return Timestamp(milliseconds: 1_795_383_067_000 + millisecond).utc != "2026-11-22T21:31:07.\(digits)Z"
        }
        #expect(wrong.isEmpty)
    }

    @Test("any coder gives the moment back to the millisecond")
    func coding() throws {
        let moments = (Int64(0)..<1000).map { Timestamp(milliseconds: 1_795_383_067_000 + $0) }
        let json = try JSONDecoder().decode([Timestamp].self, from: JSONEncoder().encode(moments))
        #expect(zip(json, moments).allSatisfy(==))
        let list = try PropertyListDecoder().decode([Timestamp].self, from: PropertyListEncoder().encode(moments))
        #expect(zip(list, moments).allSatisfy(==))
    }

    @Test("it is coded as its text in UTC")
    func codedText() throws {
        let data = try JSONEncoder().encode([cut])
        #expect(String(decoding: data, as: UTF8.self) == #"["2026-11-22T21:31:07.412Z"]"#)
    }

    @Test(
        "what is no time is refused on the way in",
        arguments: ["", "yesterday", "2026-11-22", "2026-13-22T21:31:07.412Z"])
    func badText(_ text: String) {
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode([Timestamp].self, from: JSONEncoder().encode([text]))
        }
    }

    @Test("moments are ordered by when they are, not by where")
    func order() {
        #expect(Timestamp(milliseconds: 1, offset: 7200) < Timestamp(milliseconds: 2, offset: -7200))
    }

    @Test("adding keeps the zone and stops short of an overflow")
    func adding() {
        #expect(cut.adding(milliseconds: -412) == Timestamp(milliseconds: 1_795_383_067_000, offset: 3600))
        #expect(Timestamp(milliseconds: .max).adding(milliseconds: 1).milliseconds == .max)
    }
}
