// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import GuestAgent
import JSON
import Testing

/// A guest agent whose guest is this host: it runs what guest-exec asks for, as qemu-ga does, with `/run/stillpoint`
/// moved into a folder. As with qemu-ga a program has ended when nobody holds its output open any more.
actor LocalGuest: AgentChannel {
    private struct Child {
        var output: CInt
        var errors: CInt
        var outputBytes: [UInt8] = []
        var errorBytes: [UInt8] = []
        var status: CInt?
    }

    let scratch: ScratchFolder
    /// In the place of `/run/stillpoint`, and as long, because what is put there is counted.
    nonisolated let run: String
    private let shell: String
    /// Variables that go before those that are sent, such as a PATH.
    private let environment: [String: String]
    private var count = 0
    private var children: [pid_t: Child] = [:]
    /// What was asked for, as JSON.
    private(set) var heard: [JSONValue] = []
    /// Answers that get lost on their way, by command.
    private var losing: [String: Int]
    private var refusing: Set<String> = []
    private var pipes: Set<CInt> = []

    /// Bytes of each program's input.
    private var inputs: [Int] = []
    /// The program from which on answers get lost, the first being 1.
    private let first: Int
    /// Input arrives without its end.
    private let tearing: Bool

    init(
        shell: String = Shell.posix, environment: [String: String] = [:], losing: [String: Int] = [:],
        from first: Int = 1, tearing: Bool = false
    ) throws {
        self.first = first
        self.tearing = tearing
        scratch = try ScratchFolder()
        run = "/tmp/sp-" + String((0..<7).compactMap { _ in "0123456789abcdef".randomElement() })
        self.shell = shell
        self.environment = environment
        self.losing = losing
    }

    /// Since the last time.
    func takeInputs() -> [Int] {
        defer { inputs = [] }
        return inputs
    }

    /// From now on its answers to that command get lost before it is carried out.
    func refuse(_ command: String) { refusing.insert(command) }

    deinit {
        for descriptor in pipes { close(descriptor) }
        try? FileManager.default.removeItem(atPath: run)
    }

    func exchange(_ request: String, timeout: Duration) async throws(AgentError) -> String {
        let answer: String?
        do { answer = try answerTo(request) } catch { throw AgentError(.malformedReply("\(error)")) }
        guard let answer else { throw AgentError(.disconnected) }
        return answer
    }

    private func answerTo(_ text: String) throws -> String? {
        let request = try JSONValue(parsing: text)
        heard.append(request)
        let command = try #require(request["execute"]?.string)
        if refusing.contains(command) { return nil }
        let arguments = try #require(request["arguments"])
        let answer: JSONValue
        switch command {
        case "guest-exec": answer = ["pid": .integer(Int64(try start(arguments)))]
        case "guest-exec-status": answer = try status(pid_t(try #require(arguments["pid"]?.integer)))
        case "guest-file-open":
            let path = moved(try #require(arguments["path"]?.string))
            let descriptor = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)
            try #require(descriptor >= 0 && arguments["mode"] == "r+")
            pipes.insert(descriptor)
            answer = .integer(Int64(descriptor))
        case "guest-file-write":
            guard let descriptor = try pipe(arguments) else { return Self.noFile }
            let bytes = try #require(arguments["buf-b64"]?.string.flatMap { Base64.decode($0) })
            try #require(write(descriptor, bytes, bytes.count) == bytes.count)
            answer = ["count": .integer(Int64(bytes.count)), "eof": false]
        case "guest-file-close":
            guard let descriptor = try pipe(arguments) else { return Self.noFile }
            pipes.remove(descriptor)
            close(descriptor)
            answer = [:]
        default: throw CocoaError(.featureUnsupported)
        }
        if let left = losing[command], left > 0, count >= first {
            // A status is lost only once there is one: that is the answer an agent gives but once.
            if command == "guest-exec" || answer["exited"] == true {
                losing[command] = left - 1
                return nil
            }
        }
        return try JSONValue.object(["return": answer]).text()
    }

    private static let noFile = #"{"error":{"class":"GenericError","desc":"handle '1000' has not been found"}}"#

    private func pipe(_ arguments: JSONValue) throws -> CInt? {
        let descriptor = try #require(arguments["handle"]?.integer.flatMap { CInt(exactly: $0) })
        return pipes.contains(descriptor) ? descriptor : nil
    }

    var openPipes: Int { pipes.count }

    /// As an agent does that is ended: whoever waits for a word of it hears the end.
    func restart() {
        for descriptor in pipes { close(descriptor) }
        pipes = []
    }

    private func moved(_ text: String) -> String { text.replacing("/run/stillpoint", with: run) }

    private func start(_ arguments: JSONValue) throws -> pid_t {
        let path = try #require(arguments["path"]?.string)
        let words = try #require(arguments["arg"]?.array).map { moved($0.string ?? "") }
        var variables = try #require(arguments["env"]?.array).map { $0.string ?? "" }
        variables = variables.filter { text in !environment.keys.contains { text.hasPrefix($0 + "=") } }
        variables += environment.map { "\($0)=\($1)" }
        let input = arguments["input-data"]?.string.flatMap { Base64.decode($0) } ?? []
        inputs.append(input.count)
        // By name, so that no other test's child gets hold of an end.
        count += 1
        let text = String(decoding: input.dropLast(tearing ? 3 : 0), as: UTF8.self)
        try scratch.write(moved(text), to: "input-\(count)")
        let pipes = [scratch("output-\(count)"), scratch("errors-\(count)")]
        let ends = pipes.map { mkfifo($0, 0o600) == 0 ? open($0, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1 }
        try #require(!ends.contains(-1))
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, scratch("input-\(count)"), O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, pipes[0], O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, pipes[1], O_WRONLY, 0)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        var standard = sigset_t()
        sigemptyset(&standard)
        sigaddset(&standard, SIGPIPE)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &standard)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var argv = ([path] + words).map { strdup($0) } + [nil]
        var envp = variables.map { strdup($0) } + [nil]
        defer { for text in argv + envp { free(text) } }
        var child = pid_t()
        try #require(posix_spawn(&child, path == "/bin/sh" ? shell : path, &actions, &attributes, &argv, &envp) == 0)
        children[child] = Child(output: ends[0], errors: ends[1])
        return child
    }

    private func status(_ pid: pid_t) throws -> JSONValue {
        var child = try #require(children[pid])
        Self.drain(&child.output, into: &child.outputBytes)
        Self.drain(&child.errors, into: &child.errorBytes)
        var status: CInt = 0
        if child.status == nil, waitpid(pid, &status, WNOHANG) == pid { child.status = status }
        children[pid] = child
        guard let ended = child.status, child.output < 0, child.errors < 0 else { return ["exited": false] }
        children[pid] = nil
        var answer: JSONObject = [
            "exited": true, "out-data": .string(Base64.encode(child.outputBytes)),
            "err-data": .string(Base64.encode(child.errorBytes)),
        ]
        let signal = ended & 0x7F
        if signal == 0 {
            answer["exitcode"] = .integer(Int64(ended >> 8 & 0xFF))
        } else {
            answer["signal"] = .integer(Int64(signal))
        }
        return .object(answer)
    }

    /// Reads what is there; at the end of it the descriptor is closed and -1.
    private static func drain(_ descriptor: inout CInt, into bytes: inout [UInt8]) {
        var buffer = [UInt8](repeating: 0, count: 65536)
        while descriptor >= 0 {
            let count = read(descriptor, &buffer, buffer.count)
            if count > 0 {
                bytes += buffer.prefix(count)
            } else if count == 0 {
                close(descriptor)
                descriptor = -1
            } else {
                return
            }
        }
    }
}
