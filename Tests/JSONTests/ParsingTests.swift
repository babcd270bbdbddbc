// SPDX-License-Identifier: Apache-2.0
import JSON
import Testing

@Suite("reading JSON")
struct ParsingTests {
    @Test(
        "a text becomes its value",
        arguments: [
            ("null", JSONValue.null),
            (" \t\r\n null \n", nil),
            ("true", true), ("false", false),
            ("0", 0), ("-0", 0), ("-1", -1),
            ("9223372036854775807", .integer(.max)),
            ("-9223372036854775808", .integer(.min)),
            ("1.0", 1.0), ("1e3", 1000.0), ("-0.0", -0.0), ("1E-2", 0.01), ("5e-324", .real(.leastNonzeroMagnitude)),
            ("1.7976931348623157e308", 1.7976931348623157e308),
            (#""""#, ""),
            (#""a\u0000b""#, "a\u{0}b"),
            (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (#""\ud83d\ude00 \u00e9 é""#, "😀 é é"),
            ("\"\u{7F}\u{2028}\u{FEFF}\"", "\u{7F}\u{2028}\u{FEFF}"),
            ("[]", []), ("{}", [:]),
            (#"{"return":{"b":[1,2.5,null],"a":true}}"#, ["return": ["b": [1, 2.5, nil], "a": true]]),
            (#"{"":1,":":2,"\"":3,"a:b,{":4}"#, ["": 1, ":": 2, "\"": 3, "a:b,{": 4]),
        ] as [(String, JSONValue)])
    func accepted(text: String, value: JSONValue) throws {
        #expect(try JSONValue(parsing: text) == value)
        #expect(try JSONValue(parsing: Array(text.utf8)) == value)
    }

    @Test(
        "a text that is not exactly one JSON value is refused, with the reason and the place",
        arguments: [
            ("", .incomplete, 0), ("  \n", .incomplete, 3),
            ("[", .incomplete, 1), (#"{"a""#, .incomplete, 4), (#""abc"#, .incomplete, 4), (#""\"#, .incomplete, 2),
            (#""\u12"#, .incomplete, 5), ("tru", .incomplete, 0), ("[1,2", .incomplete, 4),
            ("1 2", .unexpected, 2), ("{} x", .unexpected, 3), (#"{"return":{}}{"return":{}}"#, .unexpected, 13),
            ("[1,]", .unexpected, 3), (#"{"a":1,}"#, .unexpected, 7), ("[,1]", .unexpected, 1), ("{,}", .unexpected, 1),
            ("[1 2]", .unexpected, 3), (#"{"a" 1}"#, .unexpected, 5), (#"{"a":1:2}"#, .unexpected, 6),
            ("[:1]", .unexpected, 1), ("]", .unexpected, 0), ("[}", .unexpected, 1), ("{1:2}", .unexpected, 1),
            ("NaN", .unexpected, 0), ("[NaN]", .unexpected, 1), ("Infinity", .unexpected, 0),
            ("-Infinity", .invalidNumber, 1), ("nan", .unexpected, 0),
            ("TRUE", .unexpected, 0), ("nULL", .unexpected, 0),
            ("truefalse", .unexpected, 4), ("1true", .unexpected, 1), (#""a""b""#, .unexpected, 3),
            ("'a'", .unexpected, 0), ("/*c*/1", .unexpected, 0), ("1//c", .unexpected, 1),
            ("\u{FEFF}1", .unexpected, 0),
            ("\u{B}1", .unexpected, 0), ("1\0", .unexpected, 1), ("\0", .unexpected, 0), ("1\02", .unexpected, 1),
            ("\"a\0b\"", .controlCharacter, 2), ("\"a\tb\"", .controlCharacter, 2), ("\"\n\"", .controlCharacter, 1),
            ("\"\u{1F}\"", .controlCharacter, 1), ("\"\u{1}\"", .controlCharacter, 1),
            (#""\x41""#, .invalidEscape, 1), (#""\u12g4""#, .invalidEscape, 5), (#""\U0041""#, .invalidEscape, 1),
            (#""\ud800""#, .loneSurrogate, 1), (#""\udc00""#, .loneSurrogate, 1),
            (#""a\ud800\u0041""#, .loneSurrogate, 2), (#""\ud800\ud800""#, .loneSurrogate, 1),
            (#""\ud800x""#, .loneSurrogate, 1), (#"{"\ud800":1}"#, .loneSurrogate, 2),
            ("01", .invalidNumber, 0), ("-01", .invalidNumber, 0), ("00", .invalidNumber, 0), ("-", .invalidNumber, 1),
            ("1.", .invalidNumber, 2), ("1.e3", .invalidNumber, 2), (".5", .unexpected, 0), ("+1", .unexpected, 0),
            ("1e", .invalidNumber, 2), ("1e+", .invalidNumber, 3), ("--1", .invalidNumber, 1), ("1-2", .unexpected, 1),
            ("0x10", .unexpected, 1), ("1.5.2", .unexpected, 3),
            ("9223372036854775808", .integerOutOfRange, 0), ("-9223372036854775809", .integerOutOfRange, 0),
            ("[18446744073709551615]", .integerOutOfRange, 1), ("[1,100000000000000000000000]", .integerOutOfRange, 3),
            ("1e400", .notFinite, nil), ("[-1.5e9999]", .notFinite, nil),
            (#"{"a":1,"a":1}"#, .duplicateName, nil), (#"{"a":1,"\u0061":2}"#, .duplicateName, nil),
            (#"[{"x":{"a":{},"b":1,"a":{"c":1}}}]"#, .duplicateName, nil), (#"{"":1,"":1}"#, .duplicateName, nil),
            ("{\"\u{E9}\":1,\"e\u{301}\":2}", .duplicateName, nil),
            (#"{"a\u0000b":1}"#, .nulInName, 11), (#"{"a":1,"a\u0000":1}"#, .nulInName, 16),
        ] as [(String, JSONError.Kind, Int?)])
    func refused(text: String, kind: JSONError.Kind, offset: Int?) {
        #expect(throws: JSONError(kind, at: offset)) { try JSONValue(parsing: text) }
    }

    @Test(
        "bytes that are not strict UTF-8 are refused where they start",
        arguments: [
            ([0xFF], 1), ([0xC0, 0x80], 1), ([0xED, 0xA0, 0x80], 1), ([0xF4, 0x90, 0x80, 0x80], 1), ([0x80], 1),
            ([0x61, 0xE2, 0x80], 2), ([0xF0, 0x80, 0x80, 0x80], 1), ([0xC3], 1),
        ] as [([UInt8], Int)])
    func invalidUTF8(bytes: [UInt8], offset: Int) {
        let text = [UInt8(ascii: "\"")] + bytes + [UInt8(ascii: "\"")]
        #expect(throws: JSONError(.invalidUTF8, at: offset)) { try JSONValue(parsing: text) }
    }

    @Test("16 levels are read and 17 are not, however many follow", arguments: [17, 18, 33, 512, 100_000])
    func depth(levels: Int) throws {
        let sixteen = String(repeating: "[", count: 16) + "1" + String(repeating: "]", count: 16)
        #expect(try JSONValue(parsing: sixteen).text() == sixteen)
        let objects = String(repeating: #"{"a":"#, count: 16) + "1" + String(repeating: "}", count: 16)
        #expect(try JSONValue(parsing: objects).text() == objects)
        let deeper = String(repeating: "[", count: levels) + String(repeating: "]", count: levels)
        #expect(throws: JSONError(.tooDeep(limit: 16), at: 16)) { try JSONValue(parsing: deeper) }
    }

    @Test("the size limit is exact and is checked before anything else")
    func size() throws {
        let limits = JSONLimits(bytes: 4, depth: 1)
        #expect(try JSONValue(parsing: "1234", limits: limits) == 1234)
        #expect(throws: JSONError(.tooLarge(limit: 4))) { try JSONValue(parsing: "12345", limits: limits) }
        let huge = [UInt8](repeating: 0xFF, count: (1 << 20) + 1)
        #expect(throws: JSONError(.tooLarge(limit: 1 << 20))) { try JSONValue(parsing: huge) }
    }

    @Test("limits outside their range are moved into it")
    func limits() {
        #expect(JSONLimits(bytes: .max, depth: .max) == JSONLimits(bytes: 64 << 20, depth: 64))
        #expect(JSONLimits(bytes: .min, depth: .min) == JSONLimits(bytes: 1, depth: 1))
    }

    @Test("a mebibyte of anything is read or refused without a trap")
    func bulk() throws {
        let elements = try JSONValue(parsing: "[" + String(repeating: "0,", count: 500_000) + "0]")
        #expect(elements.array?.count == 500_001)
        let members = (0..<60_000).map { "\"k\($0)\":\($0)" }.joined(separator: ",")
        #expect(try JSONValue(parsing: "{\(members)}").object?.count == 60_000)
        let escapes = try JSONValue(parsing: "\"" + String(repeating: #"\u0000"#, count: 100_000) + "\"")
        #expect(escapes.string?.utf8.count == 100_000)
        #expect(throws: JSONError(.integerOutOfRange, at: 0)) {
            try JSONValue(parsing: String(repeating: "9", count: 1 << 20))
        }
    }

    @Test("an accessor for another kind gives nil")
    func accessors() throws {
        let value: JSONValue = ["i": 3, "r": 1.5, "s": "3", "b": true, "n": nil, "a": [1]]
        #expect(value["i"]?.integer == 3)
        #expect(value["i"]?.real == 3)
        #expect(value["i"]?.string == nil)
        #expect(value["r"]?.integer == nil)
        #expect(value["s"]?.integer == nil)
        #expect(value["s"]?.string == "3")
        #expect(value["b"]?.bool == true)
        #expect(value["b"]?.integer == nil)
        #expect(value["n"]?.isNull == true)
        #expect(value["a"]?.array == [1])
        #expect(value["missing"] == nil)
        #expect(value["a"]?["0"] == nil)
        #expect(JSONValue.integer(.max).real == nil)
    }

    @Test("an error is one line that says what and where")
    func message() {
        #expect(JSONError(.loneSurrogate, at: 12).description == "json: lone surrogate at byte 12")
        #expect(JSONError(.tooLarge(limit: 5)).description == "json: text longer than 5 bytes")
    }
}
