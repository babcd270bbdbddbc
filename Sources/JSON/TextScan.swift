// SPDX-License-Identifier: Apache-2.0

/// Refuses, before json-c parses, what json-c 0.16 takes or changes even in its strict mode.
///
/// Measured there: NaN, Infinity, `-01` and `1.` pass; integers saturate; a lone surrogate becomes U+FFFD; raw
/// control characters pass; a NUL cuts a member's name; the last of two equal names wins. The scan knows tokens and
/// depth, not structure: that stays json-c's. It does not recurse.
struct TextScan {
    /// Members in the whole text. If the tree has fewer, a name was used twice.
    private(set) var memberCount = 0

    private let bytes: [UInt8]
    private let limits: JSONLimits
    private var offset = 0
    private var nameHoldsNUL = false

    init(_ text: String, limits: JSONLimits) throws(JSONError) {
        bytes = Array(text.utf8)
        self.limits = limits
        try scan()
    }

    private var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private mutating func scan() throws(JSONError) {
        var depth = 0
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                try string()
            case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
                try number()
            case UInt8(ascii: "t"): try word("true")
            case UInt8(ascii: "f"): try word("false")
            case UInt8(ascii: "n"): try word("null")
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                guard depth <= limits.depth else { throw JSONError(.tooDeep(limit: limits.depth), at: offset) }
                offset += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                offset += 1
            case UInt8(ascii: ":"):
                // In a text that json-c accepts, the string before a colon is a name.
                guard !nameHoldsNUL else { throw JSONError(.nulInName, at: offset) }
                memberCount += 1
                offset += 1
            case UInt8(ascii: ","), UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"):
                offset += 1
            default:
                throw JSONError(.unexpected, at: offset)
            }
        }
    }

    private mutating func word(_ word: String) throws(JSONError) {
        let found = bytes[offset...].prefix(word.utf8.count)
        guard found.elementsEqual(word.utf8) else {
            throw JSONError(word.utf8.starts(with: found) ? .incomplete : .unexpected, at: offset)
        }
        offset += found.count
    }
}

// MARK: - Strings

extension TextScan {
    private mutating func string() throws(JSONError) {
        nameHoldsNUL = false
        offset += 1
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                offset += 1
                return
            case UInt8(ascii: "\\"):
                try escape()
            case 0..<0x20:
                throw JSONError(.controlCharacter, at: offset)
            default:
                offset += 1
            }
        }
        throw JSONError(.incomplete, at: offset)
    }

    private mutating func escape() throws(JSONError) {
        let start = offset
        offset += 1
        guard let letter = next else { throw JSONError(.incomplete, at: offset) }
        offset += 1
        guard letter == UInt8(ascii: "u") else {
            guard "\"\\/bfnrt".utf8.contains(letter) else { throw JSONError(.invalidEscape, at: start) }
            return
        }
        switch try fourHexDigits() {
        case 0:
            nameHoldsNUL = true
        case 0xDC00...0xDFFF:
            throw JSONError(.loneSurrogate, at: start)
        case 0xD800...0xDBFF:
            guard bytes[offset...].starts(with: "\\u".utf8) else { throw JSONError(.loneSurrogate, at: start) }
            offset += 2
            guard case 0xDC00...0xDFFF = try fourHexDigits() else { throw JSONError(.loneSurrogate, at: start) }
        default:
            break
        }
    }

    private mutating func fourHexDigits() throws(JSONError) -> Int {
        var unit = 0
        for _ in 0..<4 {
            guard let byte = next else { throw JSONError(.incomplete, at: offset) }
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw JSONError(.invalidEscape, at: offset)
            }
            unit = unit * 16 + digit
            offset += 1
        }
        return unit
    }
}

// MARK: - Numbers

extension TextScan {
    private mutating func number() throws(JSONError) {
        let start = offset
        if next == UInt8(ascii: "-") { offset += 1 }
        if next == UInt8(ascii: "0") { offset += 1 } else { try digits() }
        var isInteger = true
        if next == UInt8(ascii: ".") {
            isInteger = false
            offset += 1
            try digits()
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            isInteger = false
            offset += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { offset += 1 }
            try digits()
        }
        if let byte = next, Self.isDigit(byte) { throw JSONError(.invalidNumber, at: start) }
        if isInteger, Int64(String(decoding: bytes[start..<offset], as: UTF8.self)) == nil {
            throw JSONError(.integerOutOfRange, at: start)
        }
    }

    /// One digit or more.
    private mutating func digits() throws(JSONError) {
        guard let first = next, Self.isDigit(first) else { throw JSONError(.invalidNumber, at: offset) }
        while let byte = next, Self.isDigit(byte) { offset += 1 }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}
