// SPDX-License-Identifier: Apache-2.0

extension JSONValue {
    /// The one JSON value that `text` holds, or an error; nothing is repaired, rounded or dropped on the way.
    ///
    /// White space around the value is allowed, other text is not. Refused beside what RFC 8259 refuses: integers
    /// outside Int64, reals outside Double, lone surrogates, a member name used twice (canonically equivalent names
    /// count as the same), a NUL in a member name.
    public init(parsing text: String, limits: JSONLimits = .default) throws(JSONError) {
        guard text.utf8.count <= limits.bytes else { throw JSONError(.tooLarge(limit: limits.bytes)) }
        let scan = try TextScan(text, limits: limits)
        guard let tokener = Tokener(depth: limits.depth) else { throw JSONError(.outOfMemory) }
        let (value, memberCount) = try tokener.parse(text).value()
        guard memberCount == scan.memberCount else { throw JSONError(.duplicateName) }
        self = value
    }

    /// The same for bytes, which must be strict UTF-8.
    public init(parsing bytes: [UInt8], limits: JSONLimits = .default) throws(JSONError) {
        guard bytes.count <= limits.bytes else { throw JSONError(.tooLarge(limit: limits.bytes)) }
        let text: String
        do {
            text = String(copying: try UTF8Span(validating: bytes.span))
        } catch {
            throw JSONError(.invalidUTF8, at: error.byteOffsets.lowerBound)
        }
        try self.init(parsing: text, limits: limits)
    }
}
