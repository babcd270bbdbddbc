// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Quiesce
import SystemPackage

/// The digests of a folder's files, as `sha256sum --check` reads them: `SHA256SUMS`.
struct DigestList {
    static let file = "SHA256SUMS"

    private(set) var names: [String] = []
    private var digests: [String: String] = [:]

    init(of files: [(name: String, bytes: [UInt8])]) {
        for (name, bytes) in files { add(name, SHA256.hex(of: bytes)) }
    }

    /// Nil if it is not such a list, says two things of one file, or names one that lies elsewhere or cannot be printed.
    init?(_ bytes: [UInt8]) {
        guard let text = String(validating: bytes, as: UTF8.self), text.hasSuffix("\n") else { return nil }
        for line in text.dropLast().split(separator: "\n", omittingEmptySubsequences: false) {
            let (digest, name) = (String(line.prefix(64)), String(line.dropFirst(66)))
            guard digest.utf8.count == 64, digest.utf8.allSatisfy(Self.isDigit), line.dropFirst(64).hasPrefix("  "),
                !name.isEmpty, !name.contains("/"), name != "..", name == name.printable(limit: .max),
                digests[name, default: digest] == digest
            else { return nil }
            add(name, digest)
        }
    }

    var bytes: [UInt8] { Array(names.map { "\(digests[$0] ?? "")  \($0)\n" }.joined().utf8) }

    /// The first of its files in that folder that is not what it was when the list was written.
    func firstDifference(in folder: Folder) throws(Errno) -> String? {
        for name in names {
            guard let bytes = try folder.contents(of: name), SHA256.hex(of: bytes) == digests[name] else { return name }
        }
        return nil
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (97...102).contains(byte) }

    func covers(_ name: String) -> Bool { digest(of: name) != nil }

    func digest(of name: String) -> String? { digests[name] }

    /// For a file that is too large to be held in memory. A name has one line: the last word is what lies there.
    mutating func add(_ name: String, _ digest: String) {
        if digests.updateValue(digest, forKey: name) == nil { names.append(name) }
    }
}
