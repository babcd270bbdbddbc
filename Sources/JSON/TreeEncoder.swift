// SPDX-License-Identifier: Apache-2.0

/// A place in the tree under construction. A class, because `Encodable` hands out containers that fill it later.
final class EncodingPlace {
    enum Content {
        case nothing
        case value(JSONValue)
        case array([EncodingPlace])
        case object([(name: String, place: EncodingPlace)])
    }

    var content = Content.nothing

    /// What was encoded here; a type that encodes nothing is an empty object.
    var value: JSONValue {
        switch content {
        case .nothing: .object(JSONObject())
        case .value(let value): value
        case .array(let places): .array(places.map(\.value))
        case .object(let members): .object(JSONObject(members.lazy.map { ($0.name, $0.place.value) }))
        }
    }

    func member(_ name: String) -> EncodingPlace {
        var members: [(name: String, place: EncodingPlace)] = []
        if case .object(let earlier) = content { members = earlier }
        // Let go of the old array, so that appending does not copy it.
        content = .nothing
        let place = EncodingPlace()
        members.append((name, place))
        content = .object(members)
        return place
    }

    func element() -> EncodingPlace {
        var places: [EncodingPlace] = []
        if case .array(let earlier) = content { places = earlier }
        content = .nothing
        let place = EncodingPlace()
        places.append(place)
        content = .array(places)
        return place
    }

    func encode(_ value: some Encodable, at path: [any CodingKey]) throws {
        switch value {
        case let value as Bool: content = .value(.bool(value))
        case let value as String: content = .value(.string(value))
        case let value as Double: content = .value(.real(value))
        case let value as Float: content = .value(.real(Double(value)))
        case let value as any FixedWidthInteger:
            guard let integer = Int64(exactly: value) else {
                let why = "whole number outside 64 bits"
                throw EncodingError.invalidValue(value, .init(codingPath: path, debugDescription: why))
            }
            content = .value(.integer(integer))
        case let value as [String: any Encodable]:
            // A dictionary's own order changes from one process to the next.
            content = .object([])
            for (name, item) in value.sorted(by: { $0.key < $1.key }) {
                try member(name).encode(item, at: path + [PathKey(stringValue: name)])
            }
        default: try value.encode(to: TreeEncoder(place: self, codingPath: path))
        }
    }
}

struct TreeEncoder: Encoder {
    let place: EncodingPlace
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        if case .nothing = place.content { place.content = .object([]) }
        return KeyedEncodingContainer(KeyedTreeEncoding(place: place, codingPath: codingPath))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        if case .nothing = place.content { place.content = .array([]) }
        return UnkeyedTreeEncoding(place: place, codingPath: codingPath)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer {
        SingleTreeEncoding(place: place, codingPath: codingPath)
    }
}

private struct SingleTreeEncoding: SingleValueEncodingContainer {
    let place: EncodingPlace
    let codingPath: [any CodingKey]

    func encodeNil() { place.content = .value(.null) }
    func encode<T: Encodable>(_ value: T) throws { try place.encode(value, at: codingPath) }
}

private struct UnkeyedTreeEncoding: UnkeyedEncodingContainer {
    let place: EncodingPlace
    let codingPath: [any CodingKey]

    var count: Int {
        guard case .array(let places) = place.content else { return 0 }
        return places.count
    }
    private var path: [any CodingKey] { codingPath + [PathKey(intValue: count)] }

    func encodeNil() { place.element().content = .value(.null) }

    func encode<T: Encodable>(_ value: T) throws {
        let path = path
        try place.element().encode(value, at: path)
    }

    func nestedContainer<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        nested().container(keyedBy: type)
    }

    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { nested().unkeyedContainer() }
    func superEncoder() -> any Encoder { nested() }

    private func nested() -> TreeEncoder {
        let path = path
        return TreeEncoder(place: place.element(), codingPath: path)
    }
}

private struct KeyedTreeEncoding<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let place: EncodingPlace
    let codingPath: [any CodingKey]

    func encodeNil(forKey key: Key) { place.member(key.stringValue).content = .value(.null) }

    func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
        try place.member(key.stringValue).encode(value, at: codingPath + [key])
    }

    // The protocol brings a default for each of these, which leaves nil out; a generic one alone does not win over them.
    func encodeIfPresent<T: Encodable>(_ value: T?, forKey key: Key) throws { try encodeOrNil(value, key) }
    func encodeIfPresent(_ value: Bool?, forKey key: Key) throws { try encodeOrNil(value, key) }
    func encodeIfPresent(_ value: String?, forKey key: Key) throws { try encodeOrNil(value, key) }
    func encodeIfPresent(_ value: Double?, forKey key: Key) throws { try encodeOrNil(value, key) }
    func encodeIfPresent(_ value: Float?, forKey key: Key) throws { try encodeOrNil(value, key) }
    func encodeIfPresent(_ value: Int?, forKey key: Key) throws { try encodeOrNil(value, key) }
    func encodeIfPresent(_ value: Int8?, forKey key: Key) throws { try encodeOrNil(value, key) }
    func encodeIfPresent(_ value: Int16?, forKey key: Key) throws { try encodeOrNil(value, key) }
    func encodeIfPresent(_ value: Int32?, forKey key: Key) throws { try encodeOrNil(value, key) }
    func encodeIfPresent(_ value: Int64?, forKey key: Key) throws { try encodeOrNil(value, key) }
    func encodeIfPresent(_ value: UInt?, forKey key: Key) throws { try encodeOrNil(value, key) }
    func encodeIfPresent(_ value: UInt8?, forKey key: Key) throws { try encodeOrNil(value, key) }
    func encodeIfPresent(_ value: UInt16?, forKey key: Key) throws { try encodeOrNil(value, key) }
    func encodeIfPresent(_ value: UInt32?, forKey key: Key) throws { try encodeOrNil(value, key) }
    func encodeIfPresent(_ value: UInt64?, forKey key: Key) throws { try encodeOrNil(value, key) }

    private func encodeOrNil(_ value: (some Encodable)?, _ key: Key) throws {
        guard let value else { return encodeNil(forKey: key) }
        try encode(value, forKey: key)
    }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) -> KeyedEncodingContainer<Nested> {
        nested(key).container(keyedBy: type)
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { nested(key).unkeyedContainer() }
    func superEncoder() -> any Encoder { nested(PathKey(stringValue: "super")) }
    func superEncoder(forKey key: Key) -> any Encoder { nested(key) }

    private func nested(_ key: some CodingKey) -> TreeEncoder {
        TreeEncoder(place: place.member(key.stringValue), codingPath: codingPath + [key])
    }
}
