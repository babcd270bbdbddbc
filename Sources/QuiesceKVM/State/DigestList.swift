// SPDX-License-Identifier: Apache-2.0

import Quiesce
import SystemPackage

/// The digests of a folder's files, as `sha256sum --check` reads them: `SHA256SUMS`.
struct DigestList {
    static let file = "SHA256SUMS"

    private var entries: [(name: String, digest: String)]

    init(of files: [(name: String, bytes: [UInt8])]) {
        entries = files.map { ($0.name, SHA256.hex(of: $0.bytes)) }
    }

    /// Nil if it is not such a list, or names a file that lies elsewhere or cannot be printed.
    init?(_ bytes: [UInt8]) {
        guard let text = String(validating: bytes, as: UTF8.self), text.hasSuffix("\n") else { return nil }
        var entries: [(name: String, digest: String)] = []
        for line in text.dropLast().split(separator: "\n", omittingEmptySubsequences: false) {
            let (digest, name) = (line.prefix(64), line.dropFirst(66))
            guard digest.utf8.count == 64, digest.utf8.allSatisfy(Self.isDigit), line.dropFirst(64).hasPrefix("  "),
                !name.isEmpty, !name.contains("/"), name != "..", name.unicodeScalars.allSatisfy(Self.isPlain)
            else { return nil }
            entries.append((String(name), String(digest)))
        }
        self.entries = entries
    }

    var bytes: [UInt8] { Array(entries.map { "\($0.digest)  \($0.name)\n" }.joined().utf8) }

    /// The first of its files in that folder that is not what it was when the list was written.
    func firstDifference(in folder: Folder) throws(Errno) -> String? {
        for (name, digest) in entries {
            guard let bytes = try folder.contents(of: name), SHA256.hex(of: bytes) == digest else { return name }
        }
        return nil
    }

    /// No control character, which would reach a terminal with the name.
    private static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value >= 0x20 && !(0x7F...0x9F).contains(scalar.value)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (97...102).contains(byte) }

    func covers(_ name: String) -> Bool { digest(of: name) != nil }

    func digest(of name: String) -> String? { entries.first { $0.name == name }?.digest }

    var names: [String] { entries.map(\.name) }

    /// For a file that is too large to be held in memory.
    mutating func add(_ name: String, _ digest: String) { entries.append((name, digest)) }
}
