// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Testing

@Suite("a duration is a whole number and its unit")
struct DurationTextTests {
    @Test(
        "each unit is read",
        arguments: [
            ("500ms", .milliseconds(500)), ("5s", .seconds(5)), ("2m", .seconds(120)), ("12h", .seconds(43_200)),
            ("7d", .seconds(604_800)), ("0s", .zero), ("36525d", .seconds(36_525 * 86_400)),
        ] as [(String, Duration)])
    func units(text: String, duration: Duration) {
        #expect(Duration(parsing: text) == duration)
    }

    @Test(
        "anything else is no duration",
        arguments: [
            "", "5", "s", "5 s", " 5s", "5s ", "-5s", "+5s", "5.5s", "5S", "5sec", "5s5", "٥s", "36526d",
            "9223372036854775807d", "99999999999999999999s", "1e3s", "5m3s",
        ])
    func others(text: String) {
        #expect(Duration(parsing: text) == nil)
    }
}
