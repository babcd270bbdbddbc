// SPDX-License-Identifier: Apache-2.0
import JSON

/// A program to run in the guest (guest-exec). No shell is between: each argument arrives as it is.
///
/// The agent writes path and arguments to the guest's system log; environment and input it does not. Secrets belong
/// in none of them.
public struct GuestCommand: Sendable, Hashable {
    /// Most bytes of input.
    public static let longestInput = 64 * 1024
    /// guest-exec's environment replaces the whole one, so these always go along unless set otherwise.
    private static let baseEnvironment = [
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C",
    ]

    public var path: String
    public var arguments: [String]
    public var environment: [String: String]
    /// What it reads on stdin, at most 64 KiB; without any, stdin is `/dev/null`.
    public var input: [UInt8]

    public init(
        _ path: String, arguments: [String] = [], environment: [String: String] = [:], input: [UInt8] = []
    ) {
        self.path = path
        self.arguments = arguments
        self.environment = environment
        self.input = input
    }

    /// guest-exec's arguments, or `notSent` with the reason.
    func execArguments() throws(AgentError) -> JSONObject {
        guard input.count <= Self.longestInput else {
            throw AgentError(.notSent("\(input.count) bytes of input are more than \(Self.longestInput)"))
        }
        guard !path.isEmpty else { throw AgentError(.notSent("no path")) }
        guard environment.keys.allSatisfy({ !$0.isEmpty && !$0.utf8.contains(UInt8(ascii: "=")) }) else {
            throw AgentError(.notSent("a variable's name is empty or holds an equals sign"))
        }
        let variables = environment.merging(Self.baseEnvironment) { own, _ in own }
            .sorted { $0.key < $1.key }
            .map { "\($0.key)=\($0.value)" }
        guard ([path] + arguments + variables).allSatisfy({ !$0.utf8.contains(0) }) else {
            throw AgentError(.notSent("a path, an argument or a variable holds a NUL"))
        }
        var members: JSONObject = [
            "path": .string(path), "arg": .array(arguments.map(JSONValue.string)),
            "env": .array(variables.map(JSONValue.string)), "capture-output": true,
        ]
        if !input.isEmpty { members["input-data"] = .string(Base64.encode(input)) }
        return members
    }
}
