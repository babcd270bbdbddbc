// SPDX-License-Identifier: Apache-2.0
import JSON

/// A value in an agent's reply that knows its place, and is read as exactly one type or refused.
///
/// Members that we do not know are left alone, because newer agents add some. Messages name the place and the kind of
/// what was found there, never its content.
struct ReplyField {
    /// Most elements of a list, and the longest text, in bytes.
    static let mostElements = 4096
    static let longestText = 4096

    let value: JSONValue
    let path: String

    /// What `{"return": …}` holds; `{"error": …}` is thrown as what it says.
    init(reply: String) throws(AgentError) {
        let whole: JSONValue
        do {
            whole = try JSONValue(parsing: reply)
        } catch {
            throw AgentError(.malformedReply("\(error)"))
        }
        let root = ReplyField(value: whole, path: "reply")
        let returned = try root.optional("return")
        let failed = try root.optional("error")
        switch (returned, failed) {
        case (let returned?, nil): self = ReplyField(value: returned.value, path: "return")
        case (nil, let failed?): throw try failed.agentError()
        default: throw root.malformed("needs a return or an error")
        }
    }

    private init(value: JSONValue, path: String) {
        self.value = value
        self.path = path
    }

    func member(_ name: String) throws(AgentError) -> ReplyField {
        guard let field = try optional(name) else { throw malformed("has no \(name)") }
        return field
    }

    /// nil if there is no such member. JSON's null is not the same: an agent leaves out what it does not know.
    func optional(_ name: String) throws(AgentError) -> ReplyField? {
        try object()[name].map { ReplyField(value: $0, path: "\(path).\(name)") }
    }

    @discardableResult
    func object() throws(AgentError) -> JSONObject {
        guard let object = value.object else { throw mismatch("an object") }
        return object
    }

    func elements() throws(AgentError) -> [ReplyField] {
        guard let array = value.array else { throw mismatch("a list") }
        guard array.count <= Self.mostElements else { throw malformed("has more than \(Self.mostElements) elements") }
        return array.enumerated().map { ReplyField(value: $1, path: "\(path)[\($0)]") }
    }

    func string(atMost limit: Int = longestText) throws(AgentError) -> String {
        guard let string = value.string else { throw mismatch("a string") }
        guard string.utf8.count <= limit else { throw malformed("is longer than \(limit) bytes") }
        guard !string.utf8.contains(0) else { throw malformed("holds a NUL") }
        return string
    }

    func integer(in range: ClosedRange<Int>) throws(AgentError) -> Int {
        guard let integer = value.integer.flatMap(Int.init(exactly:)) else { throw mismatch("an integer") }
        guard range.contains(integer) else { throw malformed("is not within \(range.lowerBound)…\(range.upperBound)") }
        return integer
    }

    func bool() throws(AgentError) -> Bool {
        guard let bool = value.bool else { throw mismatch("a boolean") }
        return bool
    }

    func malformed(_ why: String) -> AgentError { AgentError(.malformedReply("\(path) \(why)")) }

    private func mismatch(_ wanted: String) -> AgentError { malformed("is \(value.kindName), not \(wanted)") }

    /// libvirt usually turns these into its own errors.
    private func agentError() throws(AgentError) -> AgentError {
        let kind = try member("class").string()
        let text = try member("desc").string()
        guard kind == "CommandNotFound" else { return AgentError(.refused(class: kind, description: text)) }
        return AgentError(.commandDisabled, detail: text)
    }
}
