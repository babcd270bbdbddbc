// SPDX-License-Identifier: Apache-2.0

extension JSONValue {
    /// Encodes a value; members come in declaration order, and an optional that is nil is written as `null`, so that
    /// every published field is always there. A dictionary with string keys is written in the order of its keys.
    ///
    /// Throws `EncodingError` with the path, for an integer outside Int64 or for what the type itself throws.
    public init(encoding value: some Encodable) throws {
        let place = EncodingPlace()
        try place.encode(value, at: [])
        self = place.value
    }

    /// Decodes a value of that type; a member that is missing or `null` is nil for an optional, and a member that the
    /// type does not know is ignored. Integers are exact: 1.0 is no integer.
    ///
    /// Throws `DecodingError` with the path.
    public func decode<T: Decodable>(_ type: T.Type) throws -> T {
        try TreeDecoder(value: self, codingPath: []).decode(type)
    }
}

extension JSONValue: Codable {
    public func encode(to encoder: any Encoder) throws {
        guard let encoder = encoder as? TreeEncoder else {
            let why = "a JSONValue is encoded by JSONValue(encoding:) alone"
            throw EncodingError.invalidValue(self, .init(codingPath: encoder.codingPath, debugDescription: why))
        }
        encoder.place.content = .value(self)
    }

    public init(from decoder: any Decoder) throws {
        guard let decoder = decoder as? TreeDecoder else {
            let why = "a JSONValue is decoded by JSONValue.decode alone"
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: why))
        }
        self = decoder.value
    }
}

/// A place in a path: a member's name or an element's index.
struct PathKey: CodingKey {
    let stringValue: String
    let intValue: Int?

    init(stringValue: String) {
        self.stringValue = stringValue
        intValue = nil
    }

    init(intValue: Int) {
        stringValue = "\(intValue)"
        self.intValue = intValue
    }
}
