// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Quiesce

@Suite("Names")
struct NameTests {
    @Test(
        "a disk target is two to fifteen small letters and digits, a letter first",
        arguments: [
            "vda", "sdb", "hd", "xvda1", "vdaa", "abcdefghijklmno",
        ])
    func goodTargets(_ text: String) {
        #expect(DiskTarget(text)?.description == text)
    }

    @Test(
        "what is not a disk target is none",
        arguments: [
            "", "v", "abcdefghijklmnop", "1da", "VDA", "vd a", "vd/a", "../a", "vd,a", "vdä", "vda\n",
        ])
    func badTargets(_ text: String) {
        #expect(DiskTarget(text) == nil)
    }

    @Test("disks sort by their letters' number: vdb before vdaa")
    func targetOrder() throws {
        let sorted = try Sample.targets("vdaa", "vdb", "vda", "sda").sorted().map(\.description)
        #expect(sorted == ["sda", "vda", "vdb", "vdaa"])
    }

    @Test("a disk target is coded as its bare text, and what is no target is refused on the way in")
    func targetCoding() throws {
        let target = try Sample.target("vdb")
        let data = try JSONEncoder().encode([target])
        #expect(String(decoding: data, as: UTF8.self) == #"["vdb"]"#)
        #expect(try JSONDecoder().decode([DiskTarget].self, from: data) == [target])
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode([DiskTarget].self, from: Data(#"["../vdb"]"#.utf8))
        }
    }

    @Test(
        "a snapshot's name is letters, digits, dot, underscore and dash",
        arguments: [
            "a", "20261122-223105", "before.upgrade_2", "_x", "A-", String(repeating: "n", count: 128),
        ])
    func goodSnapshotNames(_ text: String) {
        #expect(SnapshotName(text)?.description == text)
    }

    @Test(
        "a snapshot's name begins with no dot or dash and holds nothing a file name or XML would trip over",
        arguments: [
            "", ".hidden", "-rf", "..", "a/b", "a b", "a<b", "a&b", "a'b", "ä", "a\n",
            String(repeating: "n", count: 129),
        ])
    func badSnapshotNames(_ text: String) {
        #expect(SnapshotName(text) == nil)
    }

    @Test("a NUL byte, where C would end, is in no name")
    func nul() {
        #expect(DiskTarget("vd\u{0}") == nil)
        #expect(SnapshotName("a\u{0}b") == nil)
    }

    @Test(
        "the default name is the host's local date and time",
        arguments: [
            (0, "20261122-213105"), (3600, "20261122-223105"), (-28_800, "20261122-133105"),
            (19_800, "20261123-030105"),
        ])
    func defaultName(offset: Int, expected: String) {
        let name = SnapshotName(at: Timestamp(milliseconds: 1_795_383_065_999, offset: offset))
        #expect(name.description == expected)
        #expect(SnapshotName(name.description) == name)
    }

    @Test(
        "a run is 32 small hexadecimal digits and nothing else",
        arguments: [
            "0123456789abcde", "0123456789abcdef0123456789abcdeg", "0123456789ABCDEF0123456789ABCDEF",
            "0123456789abcdef0123456789abcdef0", "",
        ])
    func badRunIDs(_ text: String) {
        #expect(RunID(text) == nil)
    }

    @Test("random runs are readable again, differ, and shorten to eight digits")
    func randomRunIDs() {
        let runs = (0..<100).map { _ in RunID.random() }
        #expect(Set(runs).count == 100)
        #expect(runs.allSatisfy { RunID($0.description) == $0 })
        #expect(runs.allSatisfy { $0.short.count == 8 && $0.description.hasPrefix($0.short) })
    }

    @Test("a name that is taken gets the first number that is free, as far as a name may be long")
    func freeName() throws {
        let name = try #require(SnapshotName("20261122-223105"))
        #expect(name.free(among: []) == name)
        #expect(name.free(among: ["20261122-223105", "20261122-223105-3"]).description == "20261122-223105-2")
        #expect(name.free(among: ["20261122-223105", "20261122-223105-2"]).description == "20261122-223105-3")
        let longest = try #require(SnapshotName(String(repeating: "x", count: 128)))
        #expect(longest.free(among: [longest.description]) == longest)
    }
}
