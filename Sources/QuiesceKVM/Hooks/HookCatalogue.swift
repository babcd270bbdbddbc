// SPDX-License-Identifier: Apache-2.0

import BuiltInHooks
import GuestAgent
public import Quiesce

/// Every hook there is: the administrator's, the package's and those of the build. The first of a name counts.
public struct HookCatalogue: Sendable {
    public static let standardFolders = ["/etc/stillpoint/hooks", "/usr/lib/stillpoint/hooks"]
    /// Of the text that is sent, the common functions included.
    public static let largest = 64 << 10
    static let builtIn = "built in"
    private static let common = "common.sh"

    /// In the order in which they take their locks unless the configuration has another: those of the build first, in
    /// theirs, then the others by name.
    public let hooks: [Hook]

    /// A file that breaks the rules is an error, never left out in silence.
    public init() throws(Failure) {
        var folders: [HookFolder] = []
        for path in Self.standardFolders {
            if let folder = try HookFolder(path) { folders.append(folder) }
        }
        try self.init(folders, builtIn: BuiltInHooks.hooks, common: BuiltInHooks.common)
    }

    init(
        _ folders: [HookFolder], builtIn: [(name: String, text: [UInt8])], common builtInCommon: [UInt8]
    ) throws(Failure) {
        var common = builtInCommon
        for folder in folders {
            guard let text = try folder.read(Self.common) else { continue }
            common = text
            break
        }
        var names = builtIn.map(\.name)
        var others: Set<String> = []
        for folder in folders { others.formUnion(try folder.names()) }
        names += others.subtracting(names).sorted()
        var hooks: [Hook] = []
        for name in names {
            var found: (origin: String, text: [UInt8])?
            for folder in folders where found == nil {
                found = try folder.read(name).map { ("\(folder.path)/\(name)", $0) }
            }
            guard let found = found ?? builtIn.first(where: { $0.name == name }).map({ (Self.builtIn, $0.text) })
            else { continue }
            hooks.append(
                try Self.hook(name, found.origin, common + [UInt8(ascii: "\n")] + found.text, header: found.text))
        }
        self.hooks = hooks
    }

    /// `place` is what names it, for the message: `--hook`, `config.yaml:12:9`.
    public func hook(_ name: String, place: String, else status: ExitStatus) throws(Failure) -> Hook {
        if let hook = hooks.first(where: { $0.name == name }) { return hook }
        let known = hooks.map(\.name).joined(separator: " ")
        throw Failure(status, "\(place): unknown hook \(name.printable(limit: 64))", hint: "known: \(known)")
    }

    /// `[a-z][a-z0-9-]{0,31}`
    static func isHookName(_ name: String) -> Bool {
        let small = UInt8(ascii: "a")...UInt8(ascii: "z")
        guard let first = name.utf8.first, small ~= first else { return false }
        return name.utf8.count <= 32
            && name.utf8.allSatisfy {
                small ~= $0 || UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || $0 == UInt8(ascii: "-")
            }
    }

    static func tooLarge(_ place: String) -> Failure {
        Failure(.configuration, "\(place): larger than \(ByteCount(Int64(largest))), the common functions included")
    }

    private static func hook(
        _ name: String, _ origin: String, _ whole: [UInt8], header: [UInt8]
    ) throws(Failure) -> Hook {
        let place = origin == builtIn ? "\(name) (\(origin))" : origin
        guard whole.count <= largest else { throw tooLarge(place) }
        guard let text = String(validating: whole, as: UTF8.self), !whole.contains(0) else {
            throw Failure(.configuration, "\(place): not a text in UTF-8")
        }
        let said = try HookHeader(of: String(decoding: header, as: UTF8.self), from: place)
        return Hook(
            name: name, origin: origin, sha256: SHA256.hex(of: whole), looksFor: said.looksFor,
            parameters: said.parameters, text: text)
    }
}
