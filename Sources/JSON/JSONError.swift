// SPDX-License-Identifier: Apache-2.0

/// Why a text is not taken as JSON, or why a value cannot be written.
public struct JSONError: Error, Hashable {
    public enum Kind: Sendable, Hashable {
        case tooLarge(limit: Int)
        case tooDeep(limit: Int)
        case invalidUTF8
        /// The text is empty or ends inside a value.
        case incomplete
        /// A character that does not belong where it stands; trailing text, NUL, NaN and comments among them.
        case unexpected
        /// A raw control character inside a string.
        case controlCharacter
        /// An escape that JSON does not have.
        case invalidEscape
        case loneSurrogate
        /// Digits that JSON does not allow, such as `01` or `1.`.
        case invalidNumber
        /// A whole number outside Int64; it is refused because json-c would silently saturate it.
        case integerOutOfRange
        /// A number that a `Double` cannot hold, or infinity or NaN on the way out.
        case notFinite
        /// A member name with a NUL in it, which json-c would silently cut.
        case nulInName
        case duplicateName
        case outOfMemory
    }

    public var kind: Kind
    /// Where in the text, in bytes from 0; nil where it is not known.
    public var offset: Int?

    public init(_ kind: Kind, at offset: Int? = nil) {
        self.kind = kind
        self.offset = offset
    }
}

extension JSONError: CustomStringConvertible {
    public var description: String {
        let place = offset.map { " at byte \($0)" } ?? ""
        return "json: \(reason)\(place)"
    }

    private var reason: String {
        switch kind {
        case .tooLarge(let limit): "text longer than \(limit) bytes"
        case .tooDeep(let limit): "nested deeper than \(limit)"
        case .invalidUTF8: "invalid UTF-8"
        case .incomplete: "text ends early"
        case .unexpected: "unexpected character"
        case .controlCharacter: "control character in a string"
        case .invalidEscape: "invalid escape"
        case .loneSurrogate: "lone surrogate"
        case .invalidNumber: "invalid number"
        case .integerOutOfRange: "whole number outside 64 bits"
        case .notFinite: "number without a finite value"
        case .nulInName: "member name with a NUL"
        case .duplicateName: "member name used twice"
        case .outOfMemory: "out of memory"
        }
    }
}
