// SPDX-License-Identifier: Apache-2.0
import CJSONC

/// A json-c tokener in strict mode, freed with the value.
struct Tokener: ~Copyable {
    private let raw: UnsafeMutablePointer<json_tokener>

    /// nil if json-c has no memory.
    init?(depth: Int) {
        // json-c counts the scalars inside the innermost container as one level more.
        guard let raw = json_tokener_new_ex(CInt(depth + 1)) else { return nil }
        json_tokener_set_flags(raw, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8)
        self.raw = raw
    }

    deinit { json_tokener_free(raw) }

    /// `text` must be scanned: no NUL inside, and no longer than a C int.
    func parse(_ text: String) throws(JSONError) -> Node {
        // The length includes the final NUL, or json-c would wait for more digits of a number.
        let root = Node(json_tokener_parse_ex(raw, text, CInt(text.utf8.count + 1)))
        let end = Int(json_tokener_get_parse_end(raw))
        switch json_tokener_get_error(raw) {
        // No object and success is the value null.
        case json_tokener_success: return root
        case json_tokener_continue, json_tokener_error_parse_eof: throw JSONError(.incomplete, at: end)
        default: throw JSONError(.unexpected, at: end)
        }
    }
}

/// One reference to a json-c object, dropped with the value; no object is JSON's null.
struct Node: ~Copyable {
    private let raw: OpaquePointer?

    init(_ raw: OpaquePointer?) { self.raw = raw }

    deinit { json_object_put(raw) }

    /// The tree below as a value, and how many members its objects have in all.
    func value() throws(JSONError) -> (JSONValue, memberCount: Int) {
        var memberCount = 0
        return (try Self.value(of: raw, memberCount: &memberCount), memberCount)
    }
}

// Recursion is bounded by the tokener's depth. The pointers are borrowed from the root.
extension Node {
    private static func value(of raw: OpaquePointer?, memberCount: inout Int) throws(JSONError) -> JSONValue {
        switch json_object_get_type(raw) {
        case json_type_boolean: return .bool(json_object_get_boolean(raw) != 0)
        case json_type_int: return .integer(json_object_get_int64(raw))
        case json_type_double:
            let real = json_object_get_double(raw)
            guard real.isFinite else { throw JSONError(.notFinite) }
            return .real(real)
        case json_type_string: return .string(try string(of: raw))
        case json_type_array:
            var elements: [JSONValue] = []
            for index in 0..<json_object_array_length(raw) {
                elements.append(try value(of: json_object_array_get_idx(raw, index), memberCount: &memberCount))
            }
            return .array(elements)
        case json_type_object: return .object(try object(of: raw, memberCount: &memberCount))
        default: return .null
        }
    }

    private static func object(of raw: OpaquePointer?, memberCount: inout Int) throws(JSONError) -> JSONObject {
        var object = JSONObject()
        var iterator = json_object_iter_begin(raw)
        var end = json_object_iter_end(raw)
        while json_object_iter_equal(&iterator, &end) == 0 {
            guard let bytes = json_object_iter_peek_name(&iterator), let name = String(validatingCString: bytes) else {
                throw JSONError(.invalidUTF8)
            }
            let value = try value(of: json_object_iter_peek_value(&iterator), memberCount: &memberCount)
            guard object[name] == nil else { throw JSONError(.duplicateName) }
            object[name] = value
            json_object_iter_next(&iterator)
        }
        memberCount += object.count
        return object
    }

    /// By length, not to the first NUL.
    private static func string(of raw: OpaquePointer?) throws(JSONError) -> String {
        let bytes = UnsafeRawBufferPointer(
            start: json_object_get_string(raw), count: Int(json_object_get_string_len(raw)))
        guard let string = String(validating: bytes, as: UTF8.self) else { throw JSONError(.invalidUTF8) }
        return string
    }
}
