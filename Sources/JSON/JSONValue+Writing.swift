// SPDX-License-Identifier: Apache-2.0

/// How a JSON text is laid out.
public enum JSONLayout: Sendable {
    /// One line without white space.
    case compact
    /// Two spaces a level, one member or element a line, no final newline.
    case pretty
}

extension JSONValue {
    /// The value as JSON text: members in their order, the same value always as the same bytes.
    ///
    /// Control characters are escaped, `/` is not. Reals have the fewest digits that read back as the same number.
    /// Throws `notFinite` for infinity and NaN, and `tooDeep` beyond `JSONLimits.deepest`.
    public func text(_ layout: JSONLayout = .compact) throws(JSONError) -> String {
        var writer = JSONWriter(layout: layout)
        try writer.write(self)
        return writer.text
    }
}

/// Ours and not json-c's: that one pads reals to 17 digits, breaks empty arrays over two lines, and changes with its
/// releases, while a manifest's digest must not.
private struct JSONWriter {
    let layout: JSONLayout
    private(set) var text = ""
    private var depth = 0

    init(layout: JSONLayout) { self.layout = layout }

    mutating func write(_ value: JSONValue) throws(JSONError) {
        switch value {
        case .null: text += "null"
        case .bool(let bool): text += bool ? "true" : "false"
        case .integer(let integer): text += String(integer)
        case .real(let real):
            guard real.isFinite else { throw JSONError(.notFinite) }
            text += real.description
        case .string(let string): write(string)
        case .array(let elements):
            try write(elements, in: "[", "]") { (writer, element) throws(JSONError) in try writer.write(element) }
        case .object(let members):
            try write(members, in: "{", "}") { (writer, member) throws(JSONError) in
                writer.write(member.name)
                writer.text += writer.layout == .pretty ? ": " : ":"
                try writer.write(member.value)
            }
        }
    }

    private mutating func write<Items: Sequence>(
        _ items: Items, in opening: String, _ closing: String,
        item: (inout JSONWriter, Items.Element) throws(JSONError) -> Void
    ) throws(JSONError) {
        depth += 1
        guard depth <= JSONLimits.deepest else { throw JSONError(.tooDeep(limit: JSONLimits.deepest)) }
        text += opening
        var isEmpty = true
        for element in items {
            if !isEmpty { text += "," }
            isEmpty = false
            breakLine()
            try item(&self, element)
        }
        depth -= 1
        if !isEmpty { breakLine() }
        text += closing
    }

    private mutating func breakLine() {
        guard layout == .pretty else { return }
        text += "\n" + String(repeating: "  ", count: depth)
    }

    private mutating func write(_ string: String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}":
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}
