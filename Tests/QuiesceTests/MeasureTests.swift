// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Testing

@Suite("Measures")
struct MeasureTests {
    @Test(
        "a size is printed in binary units with one decimal where it says something",
        arguments: [
            (0, "0 B"), (512, "512 B"), (1024, "1 KiB"), (200_704, "196 KiB"), (1_610_612_736, "1.5 GiB"),
            (42_949_672_960, "40 GiB"), (335_007_449_088, "312 GiB"), (1_099_511_627_776, "1 TiB"),
            (Int64.max, "8 EiB"),
        ])
    func sizes(bytes: Int64, expected: String) {
        #expect(ByteCount(bytes).description == expected)
    }

    @Test(
        "a size that rounds up to the next unit is printed in that unit",
        arguments: [
            (1_048_575, "1 MiB"), (1_073_741_823, "1 GiB"),
        ])
    func roundingUp(bytes: Int64, expected: String) {
        #expect(ByteCount(bytes).description == expected)
    }

    @Test(
        "a duration reads as people say it",
        arguments: [
            (0, "0 ms"), (84, "84 ms"), (999, "999 ms"), (1000, "1 s"), (1500, "1.5 s"), (1840, "1.84 s"),
            (1844, "1.84 s"),
            (2050, "2.05 s"), (5000, "5 s"), (60_000, "1 min 00 s"), (125_000, "2 min 05 s"),
            (3_600_000, "60 min 00 s"),
        ])
    func durations(milliseconds: Int, expected: String) {
        #expect(Duration.milliseconds(milliseconds).forPeople == expected)
    }

    @Test("milliseconds are whole, rounded down, and never overflow")
    func milliseconds() {
        #expect(Duration.microseconds(1999).inMilliseconds == 1)
        #expect(Duration.seconds(Int64.max).inMilliseconds == .max)
        #expect(Duration.seconds(Int64.min).inMilliseconds == .min)
    }

    @Test("consistency levels are ordered from none to application")
    func levels() {
        #expect(Consistency.allCases.shuffled().sorted() == [.none, .crash, .filesystem, .application])
    }

    @Test("a verdict is lowered and never raised, and keeps every reason, that which decided first")
    func verdicts() {
        var verdict = Verdict(consistency: .application)
        verdict.reasons.append("by the way")
        verdict.lower(to: .filesystem, because: "one")
        verdict.lower(to: .crash, because: "two")
        verdict.lower(to: .filesystem, because: "three")
        #expect(verdict == Verdict(consistency: .crash, reasons: ["two", "one", "by the way", "three"]))
        verdict.lead(with: "three")
        #expect(verdict.reasons == ["three", "two", "one", "by the way"])
    }
}
