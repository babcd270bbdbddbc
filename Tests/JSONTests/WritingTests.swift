// SPDX-License-Identifier: Apache-2.0
import JSON
import Testing

@Suite("writing JSON")
struct WritingTests {
    let value: JSONValue = [
        "zulu": [1, -2, [], [:], ["x": nil]], "alpha": "a/b", "real": 1.0, "small": 1e-7, "large": 1e22, "yes": true,
    ]

    @Test("compact text has no white space and keeps the members' order")
    func compact() throws {
        #expect(
            try value.text() == """
                {"zulu":[1,-2,[],{},{"x":null}],"alpha":"a/b","real":1.0,"small":1e-07,"large":1e+22,"yes":true}
                """)
    }

    @Test("pretty text has two spaces a level and keeps empty containers on one line")
    func pretty() throws {
        #expect(
            try value.text(.pretty) == """
                {
                  "zulu": [
                    1,
                    -2,
                    [],
                    {},
                    {
                      "x": null
                    }
                  ],
                  "alpha": "a/b",
                  "real": 1.0,
                  "small": 1e-07,
                  "large": 1e+22,
                  "yes": true
                }
                """)
        #expect(try JSONValue(parsing: value.text(.pretty)) == value)
    }

    @Test("control characters, quotes and backslashes are escaped; a slash and other text are not")
    func escapes() throws {
        let text = try JSONValue.string("\0\u{1F}\n\r\t\"\\/\u{7F}\u{9B}é\u{2028}😀").text()
        #expect(text == #""\u0000\u001f\n\r\t\"\\/\u007f\u009bé"# + "\u{2028}😀\"")
        #expect(try JSONValue(parsing: text).string == "\0\u{1F}\n\r\t\"\\/\u{7F}\u{9B}é\u{2028}😀")
    }

    @Test("each scalar value of Unicode comes back from its text")
    func allScalars() throws {
        var all = String.UnicodeScalarView()
        for code in UInt32(0)...0x10FFFF { if let scalar = Unicode.Scalar(code) { all.append(scalar) } }
        let value = JSONValue.string(String(all))
        let back = try JSONValue(parsing: value.text(), limits: JSONLimits(bytes: 8 << 20, depth: 1))
        #expect(back.string.map { Array($0.utf8) } == value.string.map { Array($0.utf8) })
    }

    @Test(
        "a real reads back as the same bits",
        arguments: [0.1, -0.0, 1.0, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 1 / 3, 1e16])
    func reals(real: Double) throws {
        let back = try JSONValue(parsing: JSONValue.real(real).text())
        guard case .real(let value) = back else {
            Issue.record("not a real: \(back)")
            return
        }
        #expect(value.bitPattern == real.bitPattern)
    }

    @Test("a value that JSON has no number for is refused", arguments: [Double.nan, .infinity, -.infinity])
    func notFinite(real: Double) {
        #expect(throws: JSONError(.notFinite)) { try JSONValue.array([.real(real)]).text() }
    }

    @Test("64 levels are written, 65 are refused")
    func depth() throws {
        var value: JSONValue = []
        for _ in 1..<64 { value = [value] }
        let text = try value.text()
        #expect(try JSONValue(parsing: text, limits: JSONLimits(bytes: 200, depth: 64)) == value)
        #expect(throws: JSONError(.tooDeep(limit: 64))) { try JSONValue.array([value]).text() }
    }

    @Test("an object's members keep their place when set again, and leave when set to nil")
    func object() throws {
        var object: JSONObject = ["a": 1, "b": 2, "a": 3]
        object["c"] = 4
        object["b"] = nil
        object["missing"] = nil
        object["b"] = 5
        #expect(object.names == ["a", "c", "b"])
        #expect(try JSONValue.object(object).text() == #"{"a":3,"c":4,"b":5}"#)
        #expect(object.map(\.value) == [3, 4, 5])
    }
}
