// SPDX-License-Identifier: Apache-2.0

import JSON
import Testing

/// `snapshot --json`, by the words of its schema.
extension JSONValue {
    var member: JSONValue? { self["members"]?.array?.first }
    var consistency: String? { self["verdict"]?["consistency"]?.string }
    var reasons: [String] { self["verdict"]?["reasons"]?.array?.compactMap(\.string) ?? [] }
    var overlays: [String] { disks.compactMap { $0["overlay"]?.string } }
    var targets: [String] { disks.compactMap { $0["target"]?.string } }
    var disks: [JSONValue] { member?["snapshot"]?["disks"]?.array ?? [] }
    var applications: [String] { member?["applications"]?.array?.compactMap { $0["name"]?.string } ?? [] }
    var expected: Int64? { member?["freeze"]?["expected"]?.integer }
    var frozen: Int64? { member?["freeze"]?["guestReported"]?["frozen"]?.integer }
    var thawed: Int64? { member?["freeze"]?["guestReported"]?["thawed"]?.integer }
}

/// A failure as everyone gets it: the code, one clear last line, and with `--json` the same in an object.
func expectFailure(
    _ ended: Program.Ended, _ exit: Int32, _ words: String..., isJSON: Bool = false,
    at location: SourceLocation = #_sourceLocation
) throws {
    #expect(ended.exit == exit, "\(ended)", sourceLocation: location)
    #expect(ended.lastLine.hasPrefix("stillpoint: "), "\(ended)", sourceLocation: location)
    for word in words { #expect(ended.lastLine.contains(word), "\(ended)", sourceLocation: location) }
    guard isJSON else { return }
    let error = try #require(try ended.json["error"], "\(ended)", sourceLocation: location)
    #expect(error["code"]?.integer == Int64(exit), sourceLocation: location)
    #expect("stillpoint: \(error["message"]?.string ?? "")" == ended.lastLine, sourceLocation: location)
}
