// SPDX-License-Identifier: Apache-2.0

/// Where an application's log stood at the cut, in the engine's own words.
public struct Position: Sendable, Hashable {
    /// How the position that a copy recovers to compares with this one.
    public enum Relation: String, Codable, Sendable { case exact, atLeast }

    public enum Value: Sendable, Hashable {
        case text(String)
        case number(Int64)
        case list([String])
    }

    /// `postgresql`, `mariadb`, `redis`.
    public var kind: String
    public var relation: Relation
    /// What the engine calls it: `lsn`, `file`, `gtid`.
    public var fields: [String: Value]

    public init(kind: String, relation: Relation, fields: [String: Value] = [:]) {
        self.kind = kind
        self.relation = relation
        self.fields = fields
    }
}

extension Position: Codable {
    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(_ text: String) { stringValue = text }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        kind = try container.decode(String.self, forKey: Key("kind"))
        relation = try container.decode(Relation.self, forKey: Key("relation"))
        fields = [:]
        for key in container.allKeys where !["kind", "relation"].contains(key.stringValue) {
            fields[key.stringValue] = try container.decode(Value.self, forKey: key)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(kind, forKey: Key("kind"))
        try container.encode(relation, forKey: Key("relation"))
        for (key, value) in fields.sorted(by: { $0.key < $1.key }) { try container.encode(value, forKey: Key(key)) }
    }
}

extension Position.Value: Codable, CustomStringConvertible {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let number = try? container.decode(Int64.self) {
            self = .number(number)
        } else if let list = try? container.decode([String].self) {
            self = .list(list)
        } else {
            self = .text(try container.decode(String.self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .text(let text): try container.encode(text)
        case .number(let number): try container.encode(number)
        case .list(let list): try container.encode(list)
        }
    }

    public var description: String {
        switch self {
        case .text(let text): text
        case .number(let number): "\(number)"
        case .list(let list): list.joined(separator: " ")
        }
    }
}
