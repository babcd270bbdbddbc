// SPDX-License-Identifier: Apache-2.0

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// A wall-clock moment with millisecond resolution, and the host's offset from UTC at that moment.
public struct Timestamp: Hashable, Sendable, Comparable {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    public let milliseconds: Int64
    /// Seconds east of UTC.
    public let offset: Int

    public init(milliseconds: Int64, offset: Int = 0) {
        self.milliseconds = milliseconds
        self.offset = offset
    }

    public static func < (one: Timestamp, other: Timestamp) -> Bool { one.milliseconds < other.milliseconds }

    /// The moment `earlier` or `later` by some milliseconds, in the same zone.
    public func adding(milliseconds delta: Int64) -> Timestamp {
        let (sum, overflow) = milliseconds.addingReportingOverflow(delta)
        return Timestamp(milliseconds: overflow ? milliseconds : sum, offset: offset)
    }

    public var seconds: Int64 { milliseconds / 1000 }

    /// `2026-11-22T21:31:07.412Z`
    public var utc: String { Self.text(milliseconds, separator: "T") + "Z" }

    /// `2026-11-22 22:31:07.412 +01:00`
    public var local: String {
        let sign = offset < 0 ? "-" : "+"
        let minutes = abs(offset) / 60
        return Self.text(shifted, separator: " ") + " \(sign)\(Self.two(minutes / 60)):\(Self.two(minutes % 60))"
    }

    /// `20261122-223105`
    var compactLocal: String {
        let digits = Self.text(shifted, separator: "-").prefix(19)
        let parts = digits.split(separator: "-", maxSplits: 3).map { $0.filter { $0 != ":" } }
        return parts.dropLast().joined() + "-" + (parts.last ?? "")
    }

    private var shifted: Int64 { milliseconds &+ Int64(offset) &* 1000 }

    private static func text(_ milliseconds: Int64, separator: String) -> String {
        // Whole seconds go through Date; it is a Double, which would lose a millisecond now and then.
        let rest = milliseconds % 1000
        let seconds = milliseconds / 1000 - (rest < 0 ? 1 : 0)
        let thousandths = rest < 0 ? rest + 1000 : rest
        let text = Date(timeIntervalSince1970: Double(seconds)).formatted(Date.ISO8601FormatStyle())
        let digits = String(thousandths + 1000).dropFirst()
        return text.replacing("T", with: separator).replacing("Z", with: ".\(digits)")
    }

    private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
}

extension Timestamp: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let date = try? Date(text, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true)),
            let whole = Int64(exactly: (date.timeIntervalSince1970 * 1000).rounded())
        else { throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a time: \(text)") }
        self.init(milliseconds: whole)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(utc)
    }
}
