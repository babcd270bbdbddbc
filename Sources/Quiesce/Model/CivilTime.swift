// SPDX-License-Identifier: Apache-2.0

/// A moment's date and time of day in the proleptic Gregorian calendar. By arithmetic, since Foundation's formatters cost
/// a process some milliseconds and megabytes.
struct CivilTime {
    let year: Int64
    let month: Int64
    let day: Int64
    private let millisecondOfDay: Int64

    /// - Parameter milliseconds: since 1970-01-01T00:00:00, in the zone that is wanted.
    init(_ milliseconds: Int64) {
        let (days, rest) = milliseconds.flooredDivision(by: 86_400_000)
        millisecondOfDay = rest
        // Howard Hinnant's civil_from_days: years begin in March, so that the leap day comes last.
        let (era, dayOfEra) = (days + 719_468).flooredDivision(by: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    /// `2026-11-22`
    var date: String { "\(Self.digits(year, 4))-\(Self.digits(month, 2))-\(Self.digits(day, 2))" }

    /// `21:31:07`
    var time: String {
        let second = millisecondOfDay / 1000
        return "\(Self.digits(second / 3600, 2)):\(Self.digits(second / 60 % 60, 2)):\(Self.digits(second % 60, 2))"
    }

    /// `412`
    var fraction: String { Self.digits(millisecondOfDay % 1000, 3) }

    static func digits(_ number: Int64, _ count: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
    }

    /// Milliseconds since 1970 of a text such as `2026-11-22T21:31:07.412Z`; nil if it is another, or no such day.
    static func milliseconds(of text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count == 24 else { return nil }
        func number(_ places: Range<Int>) -> Int64 {
            // What is no digit shows in the comparison below.
            places.reduce(0) { $0 * 10 + Int64(bytes[$1] & 15) }
        }
        let (year, month, day) = (number(0..<4), number(5..<7), number(8..<10))
        let shifted = month <= 2 ? year - 1 : year
        let (era, yearOfEra) = shifted.flooredDivision(by: 400)
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
        let seconds = days * 86_400 + number(11..<13) * 3600 + number(14..<16) * 60 + number(17..<19)
        let milliseconds = seconds * 1000 + number(20..<23)
        return Timestamp(milliseconds: milliseconds).utc == text ? milliseconds : nil
    }
}

extension Int64 {
    fileprivate func flooredDivision(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
