// SPDX-License-Identifier: Apache-2.0

import Glibc
import Subprocess
import SystemPackage

/// A program of the host, found once, run to its end with nothing of our own surroundings:
/// arguments as they are (never a shell), a fixed environment, standard input from `/dev/null`,
/// no other descriptor, a session of its own.
struct Tool: Sendable {
    /// The only folders looked in, and the `PATH` that the program sees.
    static let searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    let name: String
    /// Absolute path of the executable.
    let path: String

    /// Finds `name` on this host.
    ///
    /// - Parameter package: the Debian package to name when it is missing.
    init(_ name: String, package: String) throws(ToolError) {
        let candidates = Self.searchPath.split(separator: ":").map { "\($0)/\(name)" }
        guard let path = candidates.first(where: { access($0, X_OK) == 0 }) else {
            throw .notFound(program: name, package: package)
        }
        self.name = name
        self.path = path
    }

    /// Runs the program to its end and returns its status and what it wrote.
    ///
    /// - Parameters:
    ///   - outputLimit: bytes of standard output that are kept; one more is `outputTooLarge`. Standard error: 64 KiB.
    ///   - deadline: then SIGTERM, two seconds later SIGKILL, to the program and its children.
    func run(
        _ arguments: [String], outputLimit: Int = 1 << 20, deadline: ContinuousClock.Instant
    ) async throws(ToolError) -> ToolResult {
        try await before(deadline, outputLimit: outputLimit) { [self] in
            let ended = try await Subprocess.run(
                configuration(arguments), input: .none, output: .bytes(limit: outputLimit),
                error: .bytes(limit: Self.errorLimit))
            return ToolResult(
                status: .init(ended.terminationStatus), output: ended.standardOutput, errors: ended.standardError)
        }
    }

    /// As ``run(_:outputLimit:deadline:)``, for what may take hours: it ends when we are killed. What it writes to standard
    /// output is heard as it comes, and not in the result.
    ///
    /// - Parameter started: is told the process.
    func run(
        _ arguments: [String], started: @escaping @Sendable (pid_t) -> Void,
        hearing listener: @escaping @Sendable ([UInt8]) -> Void, deadline: ContinuousClock.Instant
    ) async throws(ToolError) -> ToolResult {
        let guardian = try Self.guardian
        let guarded = Self.endsWithUs + [path] + arguments
        return try await before(deadline, outputLimit: Self.errorLimit) {
            let ended = try await Subprocess.run(
                guardian.configuration(guarded), input: .none, output: .sequence, error: .bytes(limit: Self.errorLimit)
            ) { execution in
                started(execution.processIdentifier.value)
                for try await piece in execution.standardOutput { listener(piece.withUnsafeBytes { Array($0) }) }
            }
            return ToolResult(status: .init(ended.terminationStatus), output: [], errors: ended.standardError)
        }
    }

    /// Keeps the program running while `body` runs, and ends it on every way out: return, error, deadline, cancellation.
    ///
    /// - Parameters:
    ///   - isReady: asked every few milliseconds after the start; `body` begins when it says yes.
    ///   - deadline: at which `body` is cancelled and the program ended, as in `run`.
    /// - Throws: `failedToStart` with the program's own last line if it ends before it is ready. What `body` throws is
    ///   in the result.
    func whileRunning<Value: Sendable, Failure: Error>(
        _ arguments: [String], isReady: @escaping @Sendable () -> Bool, deadline: ContinuousClock.Instant,
        _ body: @escaping @Sendable () async throws(Failure) -> Value
    ) async throws(ToolError) -> Result<Value, Failure> {
        // Should we be killed with SIGKILL, nobody is left to end the program. The kernel does it then, as the death signal
        // of the library's spawning thread, which lives as long as we do; timeout(1) is the second net. Both pass on.
        let guardian = try Self.guardian
        let timeout = try Tool("timeout", package: "coreutils")
        let seconds = max(0, ContinuousClock.now.duration(to: deadline).components.seconds) + 10
        let bounded = Self.endsWithUs + [timeout.path, "--kill-after=5", "\(seconds)", path] + arguments
        return try await before(deadline, outputLimit: Self.errorLimit) {
            let ended = try await Subprocess.run(
                guardian.configuration(bounded), input: .none, output: .discarded,
                error: .bytes(limit: Self.errorLimit)
            ) { execution -> Result<Value, Failure>? in
                guard try await execution.processIdentifier.becomes(isReady) else { return nil }
                let result: Result<Value, Failure>
                do throws(Failure) {
                    result = .success(try await body())
                } catch {
                    result = .failure(error)
                }
                await execution.teardown(using: Self.teardown)
                return result
            }
            guard let result = ended.closureResult else {
                let reason = ToolResult(
                    status: .init(ended.terminationStatus), output: [], errors: ended.standardError
                ).reason
                throw ToolError.failedToStart(program: name, reason: reason)
            }
            return result
        }
    }

    private static var guardian: Tool {
        get throws(ToolError) { try Tool("setpriv", package: "util-linux") }
    }
    private static let endsWithUs = ["--pdeathsig", "TERM"]

    private static let errorLimit = 64 << 10
    private static let teardown: [TeardownStep] = [
        .send(signal: .terminate, toProcessGroup: true, allowedDurationToNextStep: .seconds(2))
    ]

    private func configuration(_ arguments: [String]) -> Configuration {
        // A session of its own: Ctrl-C at our terminal is ours to handle, and children of the program end with it.
        var options = PlatformOptions()
        options.createSession = true
        options.teardownSequence = Self.teardown
        return Configuration(
            executable: .path(FilePath(path)), arguments: Arguments(arguments),
            environment: .custom(["PATH": Self.searchPath, "LC_ALL": "C"]), platformOptions: options)
    }

    private enum Race<Value: Sendable>: Sendable {
        case ended(Result<Value, any Error>)
        case deadline, cancelled
    }

    private func before<Value: Sendable>(
        _ deadline: ContinuousClock.Instant, outputLimit: Int, _ work: @escaping @Sendable () async throws -> Value
    ) async throws(ToolError) -> Value {
        let race = await withTaskGroup(of: Race<Value>.self) { group in
            group.addTask {
                do { return .ended(.success(try await work())) } catch { return .ended(.failure(error)) }
            }
            group.addTask {
                do { try await Task.sleep(until: deadline, clock: .continuous) } catch { return .cancelled }
                return .deadline
            }
            // Leaving the group cancels and awaits the other: cancellation of `work` is what ends the program.
            defer { group.cancelAll() }
            return await group.next() ?? .cancelled
        }
        if Task.isCancelled { throw .cancelled(program: name) }
        switch race {
        case .ended(.success(let value)): return value
        case .ended(.failure(let error as ToolError)): throw error
        case .ended(.failure(let error as SubprocessError)) where error.code == .outputLimitExceeded:
            throw .outputTooLarge(program: name, limit: outputLimit)
        case .ended(.failure(let error)): throw .failedToStart(program: name, reason: "\(error)")
        case .deadline: throw .timedOut(program: name)
        case .cancelled: throw .cancelled(program: name)
        }
    }
}

extension ProcessIdentifier {
    /// True once `condition` holds, false if the process ends first.
    fileprivate func becomes(_ condition: @Sendable () -> Bool) async throws -> Bool {
        while !condition() {
            if hasEnded { return false }
            try await Task.sleep(for: .milliseconds(2))
        }
        return true
    }
}
