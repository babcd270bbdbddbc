// SPDX-License-Identifier: Apache-2.0
import JSON
import Testing

@Suite("the Codable bridge")
struct CodableTests {
    struct Disk: Codable, Equatable {
        enum Format: String, Codable { case qcow2, raw }
        var target: String
        var format: Format?
        var sizeBytes: UInt64
    }

    struct Everything: Codable, Equatable {
        var zulu: Bool?
        var alpha: String?
        var double: Double?
        var float: Float?
        var int: Int?
        var int8: Int8?
        var int16: Int16?
        var int32: Int32?
        var int64: Int64?
        var uint: UInt?
        var uint8: UInt8?
        var uint16: UInt16?
        var uint32: UInt32?
        var uint64: UInt64?
        var disk: Disk?
        var list: [Int?]?
        var table: [String: Int]?
        var free: JSONValue?
    }

    @Test("every optional that is nil is written as null, in declaration order, whatever its type")
    func nilIsNull() throws {
        let text = try JSONValue(encoding: Everything()).text()
        #expect(
            text == """
                {"zulu":null,"alpha":null,"double":null,"float":null,"int":null,"int8":null,"int16":null,\
                "int32":null,"int64":null,"uint":null,"uint8":null,"uint16":null,"uint32":null,"uint64":null,\
                "disk":null,"list":null,"table":null,"free":null}
                """)
    }

    @Test("what is encoded is decoded as the same value, through text")
    func roundTrip() throws {
        var value = Everything()
        value.zulu = true
        value.alpha = "a\u{0}\u{1F}/\"\\é"
        value.double = 0.1
        value.float = 1.5
        value.int = .min
        value.uint64 = UInt64(Int64.max)
        value.uint8 = 255
        value.disk = Disk(target: "vda", format: .qcow2, sizeBytes: 1 << 40)
        value.list = [1, nil, 3]
        value.table = ["k": 1]
        value.free = ["b": [1, 2.5, nil], "a": "x"]
        let text = try JSONValue(encoding: value).text(.pretty)
        #expect(try JSONValue(parsing: text).decode(Everything.self) == value)
    }

    @Test("missing and null members are nil, unknown members are ignored")
    func missing() throws {
        #expect(try JSONValue(parsing: #"{"alpha":null,"new":[{}]}"#).decode(Everything.self) == Everything())
    }

    @Test("an integer that Int64 cannot hold is refused on the way out")
    func tooLargeOut() {
        var value = Everything()
        value.uint64 = .max
        #expect(throws: EncodingError.self) { try JSONValue(encoding: value) }
    }

    @Test(
        "a wrong type or range is refused with its path",
        arguments: [
            (#"{"disk":{"target":"vda","format":null,"sizeBytes":-1}}"#, "disk.sizeBytes"),
            (#"{"disk":{"target":"vda","format":"vmdk","sizeBytes":1}}"#, "disk.format"),
            (#"{"list":[1,2,"x"]}"#, "list.2"),
            (#"{"list":{}}"#, "list"),
            (#"{"int":1.0}"#, "int"),
            (#"{"int":"3"}"#, "int"),
            (#"{"int8":128}"#, "int8"),
            (#"{"zulu":1}"#, "zulu"),
            (#"{"alpha":false}"#, "alpha"),
            (#"{"table":[]}"#, "table"),
        ])
    func wrong(text: String, path: String) throws {
        let value = try JSONValue(parsing: text)
        let error = try #require(throws: DecodingError.self) { try value.decode(Everything.self) }
        let context: DecodingError.Context? =
            switch error {
            case .typeMismatch(_, let context), .valueNotFound(_, let context), .keyNotFound(_, let context),
                .dataCorrupted(let context):
                context
            @unknown default: nil
            }
        #expect(context?.codingPath.map(\.stringValue).joined(separator: ".") == path)
    }

    @Test("a required member that is missing is named")
    func missingRequired() throws {
        let value: JSONValue = ["target": "vda"]
        let error = try #require(throws: DecodingError.self) { try value.decode(Disk.self) }
        guard case .keyNotFound(let key, _) = error else {
            Issue.record("not keyNotFound: \(error)")
            return
        }
        #expect(key.stringValue == "sizeBytes")
    }

    @Test("enumerations with payloads and nested containers survive")
    func nested() throws {
        enum Exit: Codable, Equatable { case code(Int), signal(number: Int), none }
        let exits: [Exit] = [.code(1), .signal(number: 9), .none]
        let value = try JSONValue(encoding: exits)
        #expect(try value.text() == #"[{"code":{"_0":1}},{"signal":{"number":9}},{"none":{}}]"#)
        #expect(try value.decode([Exit].self) == exits)
    }

    @Test("a dictionary is written in the order of its keys, whatever the process makes of it")
    func dictionaries() throws {
        let table = Dictionary(uniqueKeysWithValues: (10..<60).map { ("k\($0)", [Int?.some($0), nil]) })
        let value = try JSONValue(encoding: ["outer": table])
        #expect(value["outer"]?.object?.names == (10..<60).map { "k\($0)" })
        #expect(value["outer"]?["k10"] == [10, nil])
        #expect(try value.decode([String: [String: [Int?]]].self)["outer"] == table)
    }

    @Test("a top-level optional, number or string is a value too")
    func single() throws {
        #expect(try JSONValue(encoding: Int?.none) == .null)
        #expect(try JSONValue(encoding: 7) == 7)
        #expect(try JSONValue.null.decode(Int?.self) == nil)
        #expect(try JSONValue(encoding: [String]()).text() == "[]")
        #expect(try JSONValue(encoding: [String: Int]()).text() == "{}")
    }
}
