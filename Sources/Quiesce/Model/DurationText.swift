// SPDX-License-Identifier: Apache-2.0

extension Duration {
    /// A whole number and its unit, as the command line and the configuration write it: `500ms`, `5s`, `2m`, `12h`,
    /// `7d`. No sign, no fraction, no blank; nil for anything else, and for more than 100 years.
    public init?(parsing text: String) {
        let digits = text.prefix { ("0"..."9").contains($0) }
        guard let count = Int64(digits) else { return nil }
        let unit: Int64
        switch text.dropFirst(digits.count) {
        case "ms": unit = 1
        case "s": unit = 1000
        case "m": unit = 60_000
        case "h": unit = 3_600_000
        case "d": unit = 86_400_000
        default: return nil
        }
        let (milliseconds, overflow) = count.multipliedReportingOverflow(by: unit)
        guard !overflow, milliseconds <= 36_525 * 86_400_000 else { return nil }
        self = .milliseconds(milliseconds)
    }
}
