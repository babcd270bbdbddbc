// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import QuiesceKVM
import Synchronization

/// In which shape a result goes to stdout.
enum Output: Sendable, Hashable {
    case text, json, jsonStream, env

    /// As it was asked for on a command line that could not be read.
    init(asked arguments: [String]) {
        // What comes after -- is another's command.
        let words = arguments.prefix { $0 != "--" }.flatMap { word in
            word.hasPrefix("--output=") ? ["--output", String(word.dropFirst(9))] : [word]
        }
        let shape = zip(words, words.dropFirst()).filter { $0.0 == "--output" }.last?.1
        self =
            switch shape.flatMap(OutputShape.init(rawValue:)) {
            case .env?: .env
            case .json?: .json
            case nil: words.contains("--json-stream") ? .jsonStream : words.contains("--json") ? .json : .text
            }
    }

    /// stdout has its one object.
    private static let isTold = Atomic(false)

    /// - Parameter environment: what `--output env` writes, and a shell obeys. Nothing else goes to stdout then.
    func result(
        _ value: some Encodable, environment: String? = nil, text: (Ink) -> String
    ) throws(Failure) {
        let told = try words(for: value, environment, text)
        Terminal.complain(told.errors)
        Terminal.write(told.output)
        if self == .json { Self.isTold.store(true, ordering: .relaxed) }
    }

    /// The result on stdout, or on stderr where stdout is for something else.
    func words(
        for value: some Encodable, _ environment: String?, _ text: (Ink) -> String
    ) throws(Failure) -> (output: String, errors: String) {
        switch self {
        case .text: (text(Terminal.ink), "")
        case .json: (try JSONText.of(value) + "\n", "")
        case .jsonStream: (try JSONText.of(value, pretty: false) + "\n", "")
        case .env: (environment ?? "", environment == nil ? text(.plain) : "")
        }
    }

    /// The last line on stderr is the cause; with JSON the object on stdout carries it as well, unless it is out already: an
    /// export that breaks off has told where it was.
    func failed(_ failure: Failure) {
        struct Envelope: Encodable {
            var schema = "stillpoint.error/v1"
            var error: Cause
        }
        if self == .jsonStream || self == .json && !Self.isTold.load(ordering: .relaxed),
            let text = try? JSONText.of(Envelope(error: Cause(failure)), pretty: self == .json)
        {
            Terminal.write(text + "\n")
        }
    }
}

/// Standard output and error, written whole and at once.
enum Terminal {
    static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }
    static var ink: Ink { isTerminal && getenv("NO_COLOR") == nil ? .terminal : .plain }

    static func write(_ text: String) { write(Array(text.utf8)) }
    static func write(_ bytes: [UInt8]) { put(bytes, on: STDOUT_FILENO) }
    static func complain(_ text: String) { put(Array(text.utf8), on: STDERR_FILENO) }

    /// For what is worth nothing later: left out where it would have to wait for a reader that has stopped reading. No run
    /// hangs on that, with the guest's lock held.
    static func remark(_ text: String) {
        var ready = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
        if poll(&ready, 1, 0) > 0 { complain(text) }
    }

    /// What to do, a line each, before the line that says what is wrong.
    static func suggest(_ hint: String?) {
        for line in hint?.split(separator: "\n") ?? [] { complain("  \(line)\n") }
    }

    private static func put(_ bytes: [UInt8], on descriptor: CInt) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written < 0, errno == EINTR { continue }
            // Nobody reads it any more: the exit status still tells.
            guard written > 0 else { return }
            rest = rest.dropFirst(written)
        }
    }
}
