// SPDX-License-Identifier: Apache-2.0

/// A disk's name inside its guest's definition: `vda`, `sdb`. Two to fifteen of `a`…`z` and digits, a letter first.
public struct DiskTarget: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let description: String

    public init?(_ text: String) {
        guard (2...15).contains(text.utf8.count), let first = text.utf8.first, (97...122).contains(first),
            text.utf8.allSatisfy({ (97...122).contains($0) || (48...57).contains($0) })
        else { return nil }
        description = text
    }

    /// By disk order: `vdb` before `vdaa`.
    public static func < (one: DiskTarget, other: DiskTarget) -> Bool {
        let (short, long) = (one.description.utf8.count, other.description.utf8.count)
        return short == long ? one.description < other.description : short < long
    }
}

extension DiskTarget: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let target = DiskTarget(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a disk target: \(text)")
        }
        self = target
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// A snapshot's name: `[A-Za-z0-9._-]{1,128}` without a leading dot or dash, so that it is safe in a file name.
public struct SnapshotName: Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init?(_ text: String) {
        guard (1...128).contains(text.utf8.count), let first = text.utf8.first, first != 0x2E, first != 0x2D,
            text.utf8.allSatisfy(Self.isAllowed)
        else { return nil }
        description = text
    }

    /// This name, or the first of `NAME-2`, `NAME-3`, … that is not taken.
    public func free(among taken: [String]) -> SnapshotName {
        var name = self
        var number = 1
        while taken.contains(name.description) {
            number += 1
            guard let next = SnapshotName("\(description)-\(number)") else { return self }
            name = next
        }
        return name
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case 48...57, 65...90, 97...122, 0x2E, 0x5F, 0x2D: true
        default: false
        }
    }

    /// `YYYYMMDD-HHMMSS` in the host's local time.
    public init(at time: Timestamp) {
        description = time.compactLocal
    }
}

/// A run's identity: 128 random bits as 32 hexadecimal digits.
public struct RunID: Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init?(_ text: String) {
        guard text.utf8.count == 32,
            text.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) })
        else { return nil }
        description = text
    }

    public static func random() -> RunID {
        var generator = SystemRandomNumberGenerator()
        return random(using: &generator)
    }

    static func random(using generator: inout some RandomNumberGenerator) -> RunID {
        let digits = Array("0123456789abcdef")
        let text = (0..<32).compactMap { _ in digits.randomElement(using: &generator) }
        return RunID(unchecked: String(text))
    }

    private init(unchecked text: String) { description = text }

    /// Enough of it to tell runs apart by eye.
    public var short: String { String(description.prefix(8)) }
}
