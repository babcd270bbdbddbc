// SPDX-License-Identifier: Apache-2.0

/// A size in the binary units that qemu-img and virsh print.
public struct ByteCount: Sendable, Hashable, CustomStringConvertible {
    public let bytes: Int64

    public init(_ bytes: Int64) { self.bytes = bytes }

    /// `0 B`, `196 KiB`, `1.5 GiB`: three digits at most before the unit.
    public var description: String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        var value = Double(bytes)
        var index = 0
        // What would round up to 1024 of a unit is one of the next.
        while value >= 1023.95, index < units.count - 1 {
            value /= 1024
            index += 1
        }
        let tenths = (value * 10).rounded() / 10
        let text =
            tenths == tenths.rounded() || tenths >= 100 ? "\(Int64(exactly: tenths.rounded()) ?? bytes)" : "\(tenths)"
        return "\(text) \(units[index])"
    }
}

extension Int64 {
    func addingClamped(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other < 0 ? .min : .max) : sum
    }
}

extension Int {
    /// `1 disk`, `2 disks`
    func of(_ thing: String) -> String { "\(self) \(thing)\(self == 1 ? "" : "s")" }
}

extension Duration {
    /// Whole milliseconds, rounded down; saturates.
    public var inMilliseconds: Int64 {
        let (seconds, attoseconds) = components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        return overflow ? (seconds < 0 ? .min : .max) : whole.addingClamped(attoseconds / 1_000_000_000_000_000)
    }

    /// As a person reads it: `84 ms`, `1.84 s`, `2 min 05 s`.
    public var forPeople: String {
        let total = inMilliseconds
        if total < 1000 { return "\(total) ms" }
        if total < 60_000 {
            let hundredths = (total + 5) / 10
            let (whole, rest) = (hundredths / 100, hundredths % 100)
            if rest == 0 { return "\(whole) s" }
            return rest % 10 == 0 ? "\(whole).\(rest / 10) s" : "\(whole).\(rest < 10 ? "0" : "")\(rest) s"
        }
        let seconds = (total / 1000) % 60
        return "\(total / 60_000) min \(seconds < 10 ? "0" : "")\(seconds) s"
    }
}
