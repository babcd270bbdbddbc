// SPDX-License-Identifier: Apache-2.0
import JSON

enum Violation: Error {
    case tooDeep, rewrittenDiffers, textDiffers, textOverloadDiffers, messageNotOneLine
}

/// Whether `input` was accepted. Throws if an accepted value is not stable or a refusal is not explained in one line.
func invariantsHold(for input: [UInt8]) throws -> Bool {
    let value: JSONValue
    do {
        value = try JSONValue(parsing: input)
    } catch {
        guard !error.description.isEmpty, !error.description.contains("\n") else { throw Violation.messageNotOneLine }
        return false
    }
    guard depth(of: value) <= JSONLimits.default.depth else { throw Violation.tooDeep }
    guard try JSONValue(parsing: String(decoding: input, as: UTF8.self)) == value else {
        throw Violation.textOverloadDiffers
    }
    for layout in [JSONLayout.compact, .pretty] {
        let text = try value.text(layout)
        // Escapes and indentation may make the text longer than its input.
        let again = try JSONValue(parsing: text, limits: JSONLimits(bytes: 16 << 20, depth: 16))
        guard again == value else { throw Violation.rewrittenDiffers }
        guard try again.text(layout).utf8.elementsEqual(text.utf8) else { throw Violation.textDiffers }
    }
    return true
}

private func depth(of value: JSONValue) -> Int {
    switch value {
    case .array(let elements): 1 + (elements.map(depth).max() ?? 0)
    case .object(let members): 1 + (members.map { depth(of: $0.value) }.max() ?? 0)
    default: 0
    }
}
