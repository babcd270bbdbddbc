// SPDX-License-Identifier: Apache-2.0

/// LVM2's text metadata (lvm.conf syntax) as a tree. The text comes from a guest's disk: sizes, counts and depth are
/// bounded, and the parser keeps its own stack.
struct MetadataText {
    enum Value: Equatable {
        case integer(Int64)
        case text(String)
        case list([Value])
        case section(Section)
    }

    struct Section: Equatable {
        fileprivate(set) var values: [String: Value] = [:]

        func integer(_ key: String) -> Int64? {
            if case .integer(let value)? = values[key] { value } else { nil }
        }
        func text(_ key: String) -> String? {
            if case .text(let value)? = values[key] { value } else { nil }
        }
        func list(_ key: String) -> [Value] {
            if case .list(let value)? = values[key] { value } else { [] }
        }
        func section(_ key: String) -> Section? {
            if case .section(let value)? = values[key] { value } else { nil }
        }
        /// Sections within, by name, sorted.
        var sections: [(name: String, section: Section)] {
            values.sorted { $0.key < $1.key }.compactMap { name, value in
                if case .section(let section) = value { (name, section) } else { nil }
            }
        }
    }

    static let sizeLimit = 4 << 20
    private static let depthLimit = 8
    private static let valueLimit = 200_000

    /// Nil if `bytes` is not such a text, or beyond the bounds.
    static func parse(_ bytes: some Collection<UInt8>) -> Section? {
        guard bytes.count <= sizeLimit else { return nil }
        var tokens = Tokens(Array(bytes))
        var stack: [(name: String, section: Section)] = [("", Section())]
        var count = 0
        while let token = tokens.next() {
            count += 1
            guard count <= valueLimit else { return nil }
            switch token {
            case .mark(UInt8(ascii: "}")):
                guard stack.count > 1, let inner = stack.popLast(), stack.add(.section(inner.section), inner.name)
                else { return nil }
            case .word(let name):
                switch tokens.next() {
                case .mark(UInt8(ascii: "{")):
                    guard stack.count < depthLimit else { return nil }
                    stack.append((name, Section()))
                case .mark(UInt8(ascii: "=")):
                    guard let value = tokens.value(limit: valueLimit - count) else { return nil }
                    if case .list(let items) = value { count += items.count }
                    guard stack.add(value, name) else { return nil }
                default: return nil
                }
            default: return nil
            }
        }
        guard !tokens.isBroken, stack.count == 1, let root = stack.first else { return nil }
        return root.section
    }
}

extension [(name: String, section: MetadataText.Section)] {
    /// Adds a value to the innermost section, in place; false if it has one of that name.
    fileprivate mutating func add(_ value: MetadataText.Value, _ name: String) -> Bool {
        guard let last = indices.last, self[last].section.values[name] == nil else { return false }
        self[last].section.values[name] = value
        return true
    }
}

extension MetadataText {
    fileprivate enum Token: Equatable {
        case word(String)
        case quoted(String)
        case mark(UInt8)
    }

    fileprivate struct Tokens {
        private let bytes: [UInt8]
        private var position = 0
        /// Set at the first byte that is no token.
        private(set) var isBroken = false

        init(_ bytes: [UInt8]) {
            self.bytes = bytes
        }

        private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

        mutating func next() -> Token? {
            skipBlanks()
            guard let byte = current else { return nil }
            if "{}[]=,".utf8.contains(byte) {
                position += 1
                return .mark(byte)
            }
            if byte == UInt8(ascii: "\"") { return quoted() }
            let start = position
            while let byte = current, Self.isWord(byte) { position += 1 }
            guard position > start else {
                isBroken = true
                return nil
            }
            return .word(String(decoding: bytes[start..<position], as: UTF8.self))
        }

        mutating func value(limit: Int) -> Value? {
            guard let token = next() else { return nil }
            guard token == .mark(UInt8(ascii: "[")) else { return scalar(token) }
            var items: [Value] = []
            while let token = next(), items.count < limit {
                if token == .mark(UInt8(ascii: "]")) { return .list(items) }
                if token == .mark(UInt8(ascii: ",")) { continue }
                guard let item = scalar(token) else { return nil }
                items.append(item)
            }
            return nil
        }

        private func scalar(_ token: Token) -> Value? {
            switch token {
            case .quoted(let text): .text(text)
            case .word(let word): Int64(word).map(Value.integer)
            case .mark: nil
            }
        }

        private mutating func quoted() -> Token? {
            position += 1
            var text: [UInt8] = []
            while let byte = current {
                position += 1
                if byte == UInt8(ascii: "\"") { return .quoted(String(decoding: text, as: UTF8.self)) }
                if byte == UInt8(ascii: "\\"), let escaped = current {
                    text.append(escaped)
                    position += 1
                } else {
                    text.append(byte)
                }
            }
            isBroken = true
            return nil
        }

        private mutating func skipBlanks() {
            while let byte = current {
                if byte == UInt8(ascii: "#") {
                    while let byte = current, byte != 0x0A { position += 1 }
                } else if byte == 0x20 || (0x09...0x0D).contains(byte) || byte == 0 {
                    // The stored text ends with a NUL.
                    position += 1
                } else {
                    return
                }
            }
        }

        private static func isWord(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "_-+./".utf8.contains(byte)
            }
        }
    }
}
