// SPDX-License-Identifier: Apache-2.0

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
    public var utc: String {
        let civil = CivilTime(milliseconds)
        return "\(civil.date)T\(civil.time).\(civil.fraction)Z"
    }

    /// `2026-11-22 22:31:07.412 +01:00`
    public var local: String {
        let civil = CivilTime(shifted)
        let zone = CivilTime(abs(Int64(offset)) * 1000)
        return "\(civil.date) \(civil.time).\(civil.fraction) \(offset < 0 ? "-" : "+")\(zone.time.prefix(5))"
    }

    /// `20261122-223105`
    var compactLocal: String {
        let civil = CivilTime(shifted)
        return "\(civil.date.filter { $0 != "-" })-\(civil.time.filter { $0 != ":" })"
    }

    private var shifted: Int64 { milliseconds &+ Int64(offset) &* 1000 }
}

extension Timestamp: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let milliseconds = CivilTime.milliseconds(of: text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a time: \(text)")
        }
        self.init(milliseconds: milliseconds)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(utc)
    }
}
