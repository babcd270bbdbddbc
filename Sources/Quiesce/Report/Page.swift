// SPDX-License-Identifier: Apache-2.0

/// How text is set off. Without a terminal, or with `NO_COLOR`, it is not.
public struct Ink: Sendable {
    public static let plain = Ink(isOn: false)
    public static let terminal = Ink(isOn: true)

    let isOn: Bool

    func bold(_ text: String) -> String { isOn ? "\u{1B}[1m\(text)\u{1B}[0m" : text }
    func dim(_ text: String) -> String { isOn ? "\u{1B}[2m\(text)\u{1B}[0m" : text }
}

/// Lines of a report: a label column, then text.
struct Page {
    private(set) var lines: [String] = []
    private let label: Int

    init(label: Int) { self.label = label }

    var text: String { lines.map { $0 + "\n" }.joined() }

    mutating func line(_ text: String) { lines.append(text.withoutTrailingBlanks) }
    mutating func gap() { if lines.last != "" { lines.append("") } }

    /// The label stands on the first of the rows only.
    mutating func rows(_ name: String, _ rows: [String]) {
        for (index, row) in rows.enumerated() {
            line("  " + (index == 0 ? name : "").padded(to: label) + row)
        }
    }
}

/// A table whose columns are as wide as their widest cell.
struct Table {
    private var cells: [[String]] = []
    private let rightAligned: Set<Int>

    init(rightAligned: Set<Int> = []) { self.rightAligned = rightAligned }

    mutating func add(_ row: [String]) { cells.append(row) }

    var rows: [String] {
        var widths: [Int] = []
        for row in cells {
            for (index, cell) in row.enumerated() {
                if index == widths.count { widths.append(0) }
                widths[index] = max(widths[index], cell.count)
            }
        }
        return cells.map { row in
            row.enumerated().map { index, cell in
                if rightAligned.contains(index) { return cell.padded(to: widths[index], before: true) }
                return cell.padded(to: widths[index])
            }.joined(separator: "   ").withoutTrailingBlanks
        }
    }
}

extension String {
    func padded(to width: Int, before: Bool = false) -> String {
        let space = String(repeating: " ", count: Swift.max(0, width - count))
        return before ? space + self : self + space
    }

    var withoutTrailingBlanks: String { String(reversed().drop { $0 == " " }.reversed()) }
}
