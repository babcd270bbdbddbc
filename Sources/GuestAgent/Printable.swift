// SPDX-License-Identifier: Apache-2.0

extension StringProtocol {
    /// The text as it may be shown on a terminal or in a log: one line, nothing that moves the cursor, sets colours,
    /// turns the writing direction or is invisible.
    ///
    /// Control and format characters, line separators and unassigned or private ones become `\n`, `\t` or `\u{1B}`.
    /// After `limit` characters it ends with `…`. For people alone: the result cannot be turned back.
    public func printable(limit: Int = 4096) -> String {
        let shown = unicodeScalars.prefix(limit)
        let isCut = shown.endIndex < unicodeScalars.endIndex
        return shown.map(\.printable).joined() + (isCut ? "…" : "")
    }
}

extension String {
    /// As ``printable(limit:)``, of a whole text: its line ends and tabs stay.
    public var printableLines: String {
        replacing("\r\n", with: "\n").unicodeScalars.map { scalar in
            scalar == "\n" || scalar == "\t" ? String(scalar) : scalar.printable
        }.joined()
    }
}

extension Unicode.Scalar {
    fileprivate var printable: String {
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned, .surrogate:
            switch self {
            case "\n": "\\n"
            case "\t": "\\t"
            default: "\\u{\(String(value, radix: 16, uppercase: true))}"
            }
        default: String(self)
        }
    }
}
