// SPDX-License-Identifier: Apache-2.0

/// The members of a JSON object: names are unique and keep the order in which they were first set.
public struct JSONObject: Sendable, Hashable {
    /// The members' names, in order.
    public private(set) var names: [String] = []
    private var values: [String: JSONValue] = [:]

    public init() {}

    /// A name given twice keeps its first place and its last value.
    public init(_ members: some Sequence<(String, JSONValue)>) {
        for (name, value) in members { self[name] = value }
    }

    public var count: Int { names.count }
    public var isEmpty: Bool { names.isEmpty }

    /// Setting nil removes the member; setting a new name appends it.
    public subscript(_ name: String) -> JSONValue? {
        get { values[name] }
        set {
            guard let newValue else {
                if values.removeValue(forKey: name) != nil { names.removeAll { $0 == name } }
                return
            }
            if values.updateValue(newValue, forKey: name) == nil { names.append(name) }
        }
    }
}

extension JSONObject: Sequence {
    public func makeIterator() -> some IteratorProtocol<(name: String, value: JSONValue)> {
        names.lazy.compactMap { name in values[name].map { (name: name, value: $0) } }.makeIterator()
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    public init(dictionaryLiteral members: (String, JSONValue)...) { self.init(members) }
}
