// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// Texts that people and scripts read, kept as files in `Expected`. `STILLPOINT_RECORD=1 swift test` writes them anew;
/// whoever does that reads every difference as a user would before it is committed.
enum Golden {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Expected")

    static func expect(_ text: String, is name: String, _ place: SourceLocation = #_sourceLocation) throws {
        let file = folder.appending(path: name)
        if ProcessInfo.processInfo.environment["STILLPOINT_RECORD"] == "1" {
            try Data(text.utf8).write(to: file)
        }
        let expected = try String(contentsOf: file, encoding: .utf8)
        #expect(
            text == expected, "\(name) differs:\n\(difference(from: expected, to: text))", sourceLocation: place)
    }

    /// Every line of both, the ones that differ marked; blanks at the end made visible.
    private static func difference(from old: String, to new: String) -> String {
        let (old, new) = (lines(old), lines(new))
        let changes = new.difference(from: old)
        let gone = Set(changes.removals.map { if case .remove(let offset, _, _) = $0 { offset } else { -1 } })
        let come = Set(changes.insertions.map { if case .insert(let offset, _, _) = $0 { offset } else { -1 } })
        var shown: [String] = []
        var (left, right) = (0, 0)
        while left < old.count || right < new.count {
            if gone.contains(left) {
                shown.append("- " + old[left])
                left += 1
            } else if come.contains(right) {
                shown.append("+ " + new[right])
                right += 1
            } else {
                shown.append("  " + new[right])
                left += 1
                right += 1
            }
        }
        return shown.joined(separator: "\n")
    }

    private static func lines(_ text: String) -> [String] {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.last == " " ? line + "␠" : String(line)
        }
    }
}
