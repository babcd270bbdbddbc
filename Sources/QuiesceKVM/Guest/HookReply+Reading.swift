// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import JSON
import Quiesce

extension HookRunner.Ending {
    /// What a verb that ended well wrote, read by `body`; what went wrong, in the words of the port.
    func result(within limit: Duration, _ body: (HookAnswer) throws(HookAnswer.Oddity) -> HookReply) -> HookResult {
        switch self {
        case .failed(let why): return .failed(why)
        case .unstarted(let why): return .unstarted(why)
        case .unknown(let why): return .unknown(why)
        case .ended(0, let output, _):
            do throws(HookAnswer.Oddity) {
                return .done(try body(try HookAnswer(output)))
            } catch {
                return .failed("its answer \(error.text)")
            }
        case .ended(75, _, let cause): return .busy(cause.isEmpty ? "busy, without a word why" : cause)
        case .ended(77, _, let cause):
            return .denied(cause.isEmpty ? "rights are missing, without a word which" : cause)
        // timeout(1) of coreutils says 124, that of busybox what the signal gives.
        case .ended(124, _, let cause), .ended(137, _, let cause), .ended(143, _, let cause):
            return .unknown("did not end within \(limit.forPeople) and was ended\(cause.isEmpty ? "" : ": \(cause)")")
        case .ended(let code, _, let cause): return .failed(cause.isEmpty ? "ended with \(code) without a word" : cause)
        }
    }
}

/// The JSON object that a hook wrote: hostile until each member was read as what it has to be.
struct HookAnswer {
    /// What is wrong with it, to be read after `its answer`.
    struct Oddity: Error, Hashable {
        var text: String
    }

    static let longestText = 32 << 10
    static let mostElements = 4096
    /// Of what people only read.
    static let longestWords = 1024

    let members: JSONObject
    private let path: String

    /// Nothing at all is an empty object.
    init(_ bytes: [UInt8]) throws(Oddity) {
        path = ""
        if bytes.allSatisfy({ " \t\r\n".utf8.contains($0) }) {
            members = [:]
            return
        }
        guard bytes.count <= HookCatalogue.largest + 1 else {
            throw Oddity(text: "is longer than \(ByteCount(Int64(HookCatalogue.largest)))")
        }
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: bytes) } catch {
            throw Oddity(text: "is not JSON: \("\(error)".printable(limit: 200))")
        }
        guard let object = value.object else { throw Oddity(text: "is \(value.kindName), not an object") }
        members = object
    }

    init(_ value: JSONValue, at path: String) throws(Oddity) {
        guard let object = value.object else { throw Oddity(text: "has \(value.kindName) as \(path), not an object") }
        members = object
        self.path = path + "."
    }

    func only(_ known: Set<String>) throws(Oddity) {
        for name in members.names where !known.contains(name) {
            throw Oddity(text: "has an unknown member \(path)\(name.printable(limit: 64))")
        }
    }

    /// Nil where it is left out; null counts as that.
    func value(_ name: String) -> JSONValue? {
        // Not flatMap: its nil would be JSON's null.
        guard let value = members[name], !value.isNull else { return .none }
        return value
    }

    func bool(_ name: String) throws(Oddity) -> Bool? {
        guard let value = value(name) else { return nil }
        guard let bool = value.bool else { throw mismatch(name, value, "a boolean") }
        return bool
    }

    func integer(_ name: String, in range: ClosedRange<Int64>) throws(Oddity) -> Int64? {
        guard let value = value(name) else { return nil }
        guard let integer = value.integer else { throw mismatch(name, value, "an integer") }
        guard range.contains(integer) else { throw Oddity(text: "has \(path)\(name) out of its range") }
        return integer
    }

    /// Text for people, made fit to be printed.
    func words(_ name: String) throws(Oddity) -> String? {
        guard let value = value(name) else { return nil }
        guard let text = value.string else { throw mismatch(name, value, "a string") }
        return text.printable(limit: Self.longestWords)
    }

    /// Text that is used as it is: one that would have to be changed to be printed is refused.
    func exact(_ name: String, atMost limit: Int = longestText) throws(Oddity) -> String? {
        guard let value = value(name) else { return nil }
        guard let text = value.string else { throw mismatch(name, value, "a string") }
        try check(text, name, limit)
        return text
    }

    func list(_ name: String) throws(Oddity) -> [JSONValue]? {
        guard let value = value(name) else { return nil }
        guard let list = value.array else { throw mismatch(name, value, "a list") }
        guard list.count <= Self.mostElements else {
            throw Oddity(text: "has more than \(Self.mostElements) elements in \(path)\(name)")
        }
        return list
    }

    func texts(_ name: String) throws(Oddity) -> [String]? {
        guard let list = try list(name) else { return nil }
        var texts: [String] = []
        for value in list {
            guard let text = value.string else { throw mismatch(name, value, "a string") }
            try check(text, name, Self.longestText)
            texts.append(text)
        }
        return texts
    }

    /// A string, an integer or a list of strings.
    func plain(_ name: String) throws(Oddity) -> Position.Value? {
        guard let value = value(name) else { return nil }
        switch value {
        case .integer(let number): return .number(number)
        case .string: return try exact(name).map { .text($0) }
        case .array: return try texts(name).map { .list($0) }
        default: throw mismatch(name, value, "a string, an integer or a list of strings")
        }
    }

    private func check(_ text: String, _ name: String, _ limit: Int) throws(Oddity) {
        guard text.utf8.count <= limit else { throw Oddity(text: "has \(path)\(name) longer than \(limit) bytes") }
        guard text == text.printable(limit: .max) else {
            throw Oddity(text: "has control characters in \(path)\(name)")
        }
    }

    private func mismatch(_ name: String, _ value: JSONValue, _ wanted: String) -> Oddity {
        Oddity(text: "has \(value.kindName) as \(path)\(name), not \(wanted)")
    }
}

extension HookReply {
    private static let mostArtifacts = 64

    init(_ answer: HookAnswer) throws(HookAnswer.Oddity) {
        try answer.only(["position", "held", "holdMs", "lost", "facts", "artifacts", "whole", "detail"])
        self.init(
            position: try answer.value("position").map { value throws(HookAnswer.Oddity) in
                try Position(HookAnswer(value, at: "position"))
            },
            held: try answer.bool("held"), holdMs: try answer.integer("holdMs", in: 0...86_400_000),
            lost: try answer.words("lost"),
            facts: try answer.value("facts").map { value throws(HookAnswer.Oddity) in
                try HookAnswer(value, at: "facts").plainMembers()
            } ?? [:],
            artifacts: try Self.artifacts(try answer.list("artifacts") ?? []), whole: try answer.bool("whole"),
            detail: try answer.words("detail"))
    }

    private static func artifacts(_ list: [JSONValue]) throws(HookAnswer.Oddity) -> [Artifact] {
        guard list.count <= mostArtifacts else {
            throw HookAnswer.Oddity(text: "has more than \(mostArtifacts) artifacts")
        }
        var artifacts: [Artifact] = []
        for value in list {
            let answer = try HookAnswer(value, at: "artifacts[]")
            try answer.only(["name", "base64"])
            guard let name = try answer.exact("name", atMost: 64), isArtifactName(name) else {
                throw HookAnswer.Oddity(text: "has an artifact without a name that can be a file's")
            }
            guard !artifacts.contains(where: { $0.name == name }) else {
                throw HookAnswer.Oddity(text: "has two artifacts named \(name)")
            }
            guard let text = try answer.exact("base64", atMost: .max), let bytes = Base64.decode(text) else {
                throw HookAnswer.Oddity(text: "has an artifact \(name) that is not base 64")
            }
            artifacts.append(Artifact(name: name, bytes: bytes, sha256: SHA256.hex(of: bytes)))
        }
        return artifacts
    }

    /// `[A-Za-z0-9._-]{1,64}` without a leading dot.
    static func isArtifactName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count) && name.utf8.first != UInt8(ascii: ".")
            && name.utf8.allSatisfy { $0.isLetterOrDigit || "._-".utf8.contains($0) }
    }
}

extension Position {
    fileprivate init(_ answer: HookAnswer) throws(HookAnswer.Oddity) {
        guard let kind = try answer.exact("kind", atMost: 32), HookCatalogue.isHookName(kind) else {
            throw HookAnswer.Oddity(text: "has a position without a kind")
        }
        guard let relation = try answer.exact("relation", atMost: 32).flatMap(Relation.init) else {
            throw HookAnswer.Oddity(text: "has a position whose relation is neither exact nor atLeast")
        }
        var fields = try answer.plainMembers()
        fields["kind"] = nil
        fields["relation"] = nil
        self.init(kind: kind, relation: relation, fields: fields)
    }
}

extension HookAnswer {
    /// Every member as a plain value under a plain name.
    fileprivate func plainMembers() throws(Oddity) -> [String: Position.Value] {
        var plain: [String: Position.Value] = [:]
        for name in members.names {
            guard (1...64).contains(name.utf8.count), name.utf8.allSatisfy(\.isLetterOrDigit) else {
                throw Oddity(text: "has an odd name in \(path)\(name.printable(limit: 64))")
            }
            plain[name] = try self.plain(name)
        }
        return plain
    }
}
