// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Subprocess
import SystemPackage

/// A program of the host, run to its end.
enum Program {
    struct Ended: Sendable, CustomStringConvertible {
        var command: String
        /// 128 and the signal's number for one that a signal ended.
        var exit: Int32
        var output: String
        var errors: String

        /// Where a failure's one-line cause stands.
        var lastLine: String { errors.split(separator: "\n").last.map(String.init) ?? "" }
        var lines: [String] { output.split(separator: "\n").map(String.init) }
        var text: String { output.trimmingCharacters(in: .whitespacesAndNewlines) }

        var json: JSONValue {
            get throws { try JSONValue(parsing: output) }
        }

        var description: String { "\(command): \(exit)\n\(output)\n\(errors)" }
    }

    struct Overdue: Error { let command: String }
    struct Failed: Error, CustomStringConvertible {
        let ended: Ended
        var description: String { ended.description }
    }

    /// A signal for the program, sent when a line on its standard error contains `text`, or soon after its start.
    struct Interruption: Sendable {
        var text: String?
        var signal: Signal
        /// Since that line.
        var delay = Duration.zero
    }

    static func run(
        _ program: String, _ arguments: [String], in environment: [String: String] = [:],
        within limit: Duration = .seconds(120), interrupt: Interruption? = nil
    ) async throws -> Ended {
        let command = ([program] + arguments).joined(separator: " ")
        return try await withThrowingTaskGroup(of: Ended.self) { group in
            group.addTask {
                try await start(program, arguments, environment, command, interrupt)
            }
            group.addTask {
                try await Task.sleep(for: limit)
                throw Overdue(command: command)
            }
            defer { group.cancelAll() }
            guard let ended = try await group.next() else { throw Overdue(command: command) }
            return ended
        }
    }

    private static func start(
        _ program: String, _ arguments: [String], _ environment: [String: String], _ command: String,
        _ interrupt: Interruption?
    ) async throws -> Ended {
        var options = PlatformOptions()
        options.teardownSequence = [.gracefulShutDown(allowedDurationToNextStep: .seconds(20))]
        let changed = environment.map { (Environment.Key(stringLiteral: $0), String?.some($1)) }
        let configuration = Configuration(
            executable: program.hasPrefix("/") ? .path(FilePath(program)) : .name(program),
            arguments: Arguments(arguments),
            environment: .inherit.updating(Dictionary(uniqueKeysWithValues: changed)), platformOptions: options)
        let ended = try await Subprocess.run(
            configuration, input: .none, output: .bytes(limit: 8 << 20), error: .sequence
        ) { execution in
            var lines: [String] = []
            var waits = interrupt
            if let wish = waits, wish.text == nil {
                try await Task.sleep(for: .milliseconds(300))
                try execution.send(signal: wish.signal)
            }
            for try await line in execution.standardError.strings() {
                lines.append(line)
                if let wish = waits, let text = wish.text, line.contains(text) {
                    try await Task.sleep(for: wish.delay)
                    try execution.send(signal: wish.signal)
                    waits = nil
                }
            }
            return lines
        }
        let exit: Int32 =
            switch ended.terminationStatus {
            case .exited(let code): code
            case .signaled(let number): 128 + number
            }
        return Ended(
            command: command, exit: exit, output: String(decoding: ended.standardOutput, as: UTF8.self),
            errors: ended.closureResult.joined(separator: "\n"))
    }

    /// The same for a program that has to succeed; its standard output.
    @discardableResult
    static func succeed(
        _ program: String, _ arguments: String..., within limit: Duration = .seconds(120)
    ) async throws -> String {
        try await succeed([program] + arguments, within: limit)
    }

    @discardableResult
    static func succeed(_ command: [String], within limit: Duration) async throws -> String {
        let ended = try await run(command[0], Array(command.dropFirst()), within: limit)
        guard ended.exit == 0 else { throw Failed(ended: ended) }
        return ended.text
    }
}
