// SPDX-License-Identifier: Apache-2.0

#if FAILPOINTS
import Glibc
import Quiesce
import Synchronization

/// A named place at which `Tests/Faults` lets a run die, stand still or fail. Only in builds made with
/// `STILLPOINT_FAILPOINTS` set; nothing is written at a place that does not fire, since some lie inside the window.
///
/// `STILLPOINT_FAILPOINT=NAME[#N]:before|after:ACTION`, at the N-th time it is passed, the first without N; ACTION is
/// `kill`, `stop`, `fail`, `delay=MILLISECONDS` or `run` (`/bin/sh -c $STILLPOINT_FAILPOINT_RUN`).
/// `STILLPOINT_FAILPOINT_MARK=FILE` gets a line when it fires, before the action; what left no mark did not happen.
/// `STILLPOINT_FAILPOINT_TRACE=FILE` gets `NAME#N:before|after` of all that were passed, at the process's end.
struct Failpoint {
    enum Moment: String { case before, after }

    private enum Action {
        case kill, stop, fail, run
        case delay(milliseconds: UInt32)

        init?(_ text: Substring) {
            switch text {
            case "kill": self = .kill
            case "stop": self = .stop
            case "fail": self = .fail
            case "run": self = .run
            default:
                guard text.hasPrefix("delay="), let time = UInt32(text.dropFirst(6)) else { return nil }
                self = .delay(milliseconds: time)
            }
        }
    }

    private let name: String
    private let moment: Moment
    private let turn: Int
    private let action: Action
    private let mark: String
    private let command: String

    private static let chosen = Failpoint()
    private static let passed = Mutex([String: Int]())
    private static let trace = Mutex([String]())
    private static let traceFile: String? = {
        guard let path = Self.variable("STILLPOINT_FAILPOINT_TRACE") else { return nil }
        atexit { Failpoint.writeTrace() }
        return path
    }()

    /// Whether the caller is to fail here.
    ///
    /// - Parameter canFail: where nothing can be thrown, `fail` does not fire.
    static func pass(_ name: String, _ moment: Moment, canFail: Bool = true) -> Bool {
        guard chosen != nil || traceFile != nil else { return false }
        let turn = passed.withLock { passed in
            if moment == .before { passed[name, default: 0] += 1 }
            return passed[name] ?? 1
        }
        if traceFile != nil { trace.withLock { $0.append("\(name)#\(turn):\(moment.rawValue)") } }
        guard let chosen, chosen.name == name, chosen.moment == moment, chosen.turn == turn else { return false }
        if case .fail = chosen.action, !canFail { return false }
        return chosen.fire()
    }

    private init?() {
        guard let text = Self.variable("STILLPOINT_FAILPOINT"), let mark = Self.variable("STILLPOINT_FAILPOINT_MARK")
        else { return nil }
        let parts = text.split(separator: ":")
        guard parts.count == 3, let moment = Moment(rawValue: String(parts[1])), let action = Action(parts[2])
        else { Self.complain("STILLPOINT_FAILPOINT is not understood: \(text)") }
        let words = parts[0].split(separator: "#")
        name = String(words[0])
        turn = words.count == 2 ? Int(words[1]) ?? 0 : 1
        (self.moment, self.action, self.mark) = (moment, action, mark)
        command = Self.variable("STILLPOINT_FAILPOINT_RUN") ?? "exit"
    }

    private func fire() -> Bool {
        let now = SystemTime().wall.milliseconds
        let file = open(mark, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        let line = Array("\(name)#\(turn) \(moment.rawValue) \(now)\n".utf8)
        guard write(file, line, line.count) == line.count else { Self.complain("\(mark) cannot be written") }
        close(file)
        switch action {
        case .kill: kill(getpid(), SIGKILL)
        case .stop: kill(getpid(), SIGSTOP)
        case .fail: return true
        case .run: runCommand()
        case .delay(let milliseconds): usleep(milliseconds &* 1000)
        }
        return false
    }

    private func runCommand() {
        let words: [String] = ["sh", "-c", command]
        let arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { arguments.forEach { free($0) } }
        var pid = pid_t()
        guard posix_spawn(&pid, "/bin/sh", nil, nil, arguments, environ) == 0 else { Self.complain("no /bin/sh") }
        var status: CInt = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    }

    private static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    private static func complain(_ text: String) -> Never {
        let line = Array("failpoint: \(text)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
        exit(78)
    }

    private static func writeTrace() {
        guard let path = traceFile, let file = fopen(path, "w") else { return }
        for name in trace.withLock({ $0 }) { fputs("\(name)\n", file) }
        fclose(file)
    }
}

/// A port goes through them by its `withFailpoints`: something can happen before and after each of its calls.
extension Failpoint {
    static func broken(_ why: String) -> Failure { Failure(.internalError, why) }
    static func unanswered(_ why: String) -> GuestFailure { GuestFailure(.timedOut, why) }

    static func around<Value, Problem: Error>(
        _ name: String, _ problem: (String) -> Problem, _ body: () async throws(Problem) -> Value
    ) async throws(Problem) -> Value {
        if pass(name, .before) { throw problem("failpoint before \(name)") }
        let value = try await body()
        if pass(name, .after) { throw problem("failpoint after \(name)") }
        return value
    }

    /// For what cannot throw.
    static func around<Value>(_ name: String, _ body: () async -> Value) async -> Value {
        _ = pass(name, .before, canFail: false)
        let value = await body()
        _ = pass(name, .after, canFail: false)
        return value
    }

    /// For a call that blocks its thread.
    static func around<Value, Problem: Error>(
        call name: String, _ problem: (String) -> Problem, _ body: () throws(Problem) -> Value
    ) throws(Problem) -> Value {
        if pass(name, .before) { throw problem("failpoint before \(name)") }
        let value = try body()
        if pass(name, .after) { throw problem("failpoint after \(name)") }
        return value
    }
}
#endif
