// SPDX-License-Identifier: Apache-2.0

import Glibc
import GuestAgent
public import Quiesce
import Subprocess
import SystemPackage

/// A program of the caller's choice, as the caller would have run it: its environment, its standard streams, its folder.
/// It does not outlive us.
public struct CallersCommand: Sendable {
    /// As the caller wrote it.
    public let name: String
    private let path: String
    private let arguments: [String]

    /// Finds the program as a shell does.
    ///
    /// - Throws: `.notFound` (127) or `.notExecutable` (126), as a shell ends.
    public init(_ words: [String]) throws(Failure) {
        guard let name = words.first, !name.isEmpty else {
            throw Failure(.usage, "no command is named", hint: "stillpoint run DOMAIN … -- COMMAND …")
        }
        let search = getenv("PATH").map { String(cString: $0) } ?? Tool.searchPath
        let candidates = name.contains("/") ? [name] : search.split(separator: ":").map { "\($0)/\(name)" }
        let found = candidates.filter { access($0, F_OK) == 0 }
        let shown = name.printable(limit: 200)
        guard !found.isEmpty else {
            throw Failure(.notFound, "\(shown): command not found; nothing was done")
        }
        guard let path = found.first(where: Self.canRun) else {
            throw Failure(.notExecutable, "\(shown): not executable; nothing was done")
        }
        self.name = shown
        self.path = path
        arguments = Array(words.dropFirst())
    }

    private static func canRun(_ path: String) -> Bool {
        var status = stat()
        return access(path, X_OK) == 0 && stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// Runs it to its end.
    ///
    /// - Parameters:
    ///   - variables: added to our environment.
    ///   - quiet: its standard output goes to our standard error: ours is for something else.
    ///   - interruption: passed on to it, and after 10 s each more strongly.
    public func run(
        with variables: [(name: String, value: String)], quiet: Bool, interruption: Interruption, time: any Time
    ) async throws(Failure) -> HandoverReport.Command {
        let begin = time.now
        let status: ToolResult.Status
        do {
            // As with our tools: should we be killed, the kernel ends it.
            let guardian = try Tool("setpriv", package: "util-linux")
            let added = variables.map { (Subprocess.Environment.Key(stringLiteral: $0.name), String?.some($0.value)) }
            var options = PlatformOptions()
            // At a terminal Ctrl-C reaches it without us, and it may read from there. Elsewhere its children end with it.
            let isForeground = isatty(STDIN_FILENO) == 1 && tcgetpgrp(STDIN_FILENO) == getpgrp()
            if !isForeground { options.processGroupID = 0 }
            let configuration = Configuration(
                executable: .path(FilePath(guardian.path)),
                arguments: Arguments(["--pdeathsig", "TERM", "--", path] + arguments),
                environment: .inherit.updating(Dictionary(added, uniquingKeysWith: { $1 })), platformOptions: options)
            let output = quiet ? FileDescriptor.standardError : .standardOutput
            let ended = try await Subprocess.run(
                configuration, input: .fileDescriptor(.standardInput, closeAfterSpawningProcess: false),
                output: .fileDescriptor(output, closeAfterSpawningProcess: false),
                error: .fileDescriptor(.standardError, closeAfterSpawningProcess: false)
            ) { execution in
                var steps: ArraySlice<Signal?>?
                var next = time.now
                while !execution.processIdentifier.hasEnded {
                    try await Task.sleep(for: .milliseconds(10))
                    guard let asked = interruption.status, time.now >= next else { continue }
                    var left = steps ?? Self.steps(asked, isForeground: isForeground)[...]
                    if case .some(.some(let signal)) = left.popFirst() {
                        try? execution.send(signal: signal, toProcessGroup: !isForeground)
                    }
                    steps = left
                    next = time.now + .seconds(10)
                }
            }
            status = .init(ended.terminationStatus)
        } catch {
            throw Failure(.internalError, "\(name) could not be started: \(error)")
        }
        let took = begin.duration(to: time.now).inMilliseconds
        switch status {
        case .exited(let code): return .init(exit: code, signal: nil, tookMs: took)
        case .signalled(let number): return .init(exit: 128 + number, signal: number, tookMs: took)
        }
    }

    /// What is sent, one after the other; nil where the terminal has sent it already.
    private static func steps(_ asked: ExitStatus, isForeground: Bool) -> [Signal?] {
        let first: Signal? =
            switch asked {
            case .interrupted: isForeground ? nil : .interrupt
            case .hungUp: .terminalClosed
            default: .terminate
            }
        return [first, .terminate, .kill]
    }
}

extension ProcessIdentifier {
    /// Whether the process has ended, before anybody has waited for it.
    var hasEnded: Bool {
        var ended = pollfd(fd: processDescriptor, events: Int16(POLLIN), revents: 0)
        return poll(&ended, 1, 0) != 0
    }
}
