// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Quiesce

/// What a hook's first lines say of it.
struct HookHeader: Hashable {
    static let version = "1"
    /// Keys of a hook's entry in the configuration that are not the hook's own.
    static let reserved: Set = ["name", "policy", "timeout"]

    private(set) var looksFor: [String] = []
    private(set) var parameters: [String] = []

    /// - Parameter origin: for messages.
    init(of text: String, from origin: String) throws(Failure) {
        var version: String?
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).prefix(while: { $0.hasPrefix("#") }) {
            let parts = line.dropFirst().split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let words = parts[1].split(separator: " ").map(String.init)
            switch parts[0].drop(while: { $0 == " " }) {
            case "stillpoint-hook": version = words.joined(separator: " ")
            case "looks-for": looksFor += try Self.checked(words, Self.isLookedFor, "looks-for", origin)
            case "parameters": parameters += try Self.checked(words, Self.isParameter, "parameters", origin)
            default: break
            }
        }
        guard let version else {
            throw Failure(
                .configuration, "\(origin): no hook, because its first lines do not say '# stillpoint-hook: 1'")
        }
        guard version == Self.version else {
            throw Failure(
                .configuration,
                "\(origin): written for version \(version.printable(limit: 32)) of the hook contract, not 1")
        }
    }

    private static func checked(
        _ words: [String], _ isGood: (String) -> Bool, _ key: String, _ origin: String
    ) throws(Failure) -> [String] {
        if let bad = words.first(where: { !isGood($0) }) {
            throw Failure(.configuration, "\(origin): '\(bad.printable(limit: 64))' does not belong into '\(key)'")
        }
        return words
    }

    /// A command's or a process's name, or an absolute path.
    private static func isLookedFor(_ word: String) -> Bool {
        let first = word.utf8.first.map { $0.isLetterOrDigit || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "_") }
        return word.utf8.count <= 128 && first == true
            && word.utf8.allSatisfy { $0.isLetterOrDigit || "._/+@-".utf8.contains($0) }
    }

    /// camelCase.
    private static func isParameter(_ word: String) -> Bool {
        guard let first = word.utf8.first, UInt8(ascii: "a")...UInt8(ascii: "z") ~= first else { return false }
        return word.utf8.count <= 32 && word.utf8.allSatisfy(\.isLetterOrDigit) && !reserved.contains(word)
    }
}

extension UInt8 {
    /// Of ASCII.
    var isLetterOrDigit: Bool {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"):
            true
        default: false
        }
    }
}
