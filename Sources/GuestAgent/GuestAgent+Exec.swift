// SPDX-License-Identifier: Apache-2.0
import JSON

/// A program that runs in the guest. Only the agent that started it knows how it ends: a restart forgets it.
public struct GuestProcess: Sendable, Hashable {
    let pid: Int
}

extension GuestAgent {
    private static let shortestPause = Duration.milliseconds(5)
    public static let longestPause = Duration.milliseconds(500)

    /// Runs a program in the guest and waits for its end (guest-exec, guest-exec-status).
    ///
    /// Throws only if the program was surely not started. There is no way to stop it: at the deadline, or if the task
    /// is cancelled, the outcome is `unfinished` and it may run on. A call under way at the deadline is waited for,
    /// at most its timeout, plus libvirt's own waits. The agent reports the end only when all who hold the program's
    /// stdout or stderr have closed them. A reply above 1 MiB, about 750 KiB of output, is lost.
    public func exec(
        _ command: GuestCommand, deadline: ContinuousClock.Instant
    ) async throws(AgentError) -> ExecOutcome {
        try await exec(command, deadline: deadline, clock: ContinuousClock())
    }

    /// The same by another clock.
    public func exec<Time: Clock>(
        _ command: GuestCommand, deadline: Time.Instant, clock: Time
    ) async throws(AgentError) -> ExecOutcome where Time.Duration == Duration {
        let process: GuestProcess
        do throws(AgentError) {
            process = try await start(command, within: clock.now.duration(to: deadline))
        } catch {
            // A refusal comes from an agent that could not start the program.
            if case .refused = error.kind { throw error }
            guard error.mayHaveRun else { throw error }
            return .lost(pid: nil, error)
        }
        return await outcome(of: process, deadline: deadline, clock: clock)
    }

    /// Waits for the end of a program that ``start(_:within:)`` started, as ``exec(_:deadline:)`` does.
    ///
    /// The longer it takes, the longer are the pauses between two questions, up to an eighth of what has gone by: each is
    /// work for the guest and a line in its journal (qmp_guest_exec_status of qga/commands.c).
    ///
    /// - Parameter longestPause: of them, where what comes next cannot wait for so long.
    public func outcome(
        of process: GuestProcess, deadline: ContinuousClock.Instant, longestPause: Duration = Self.longestPause
    ) async -> ExecOutcome {
        await outcome(of: process, deadline: deadline, longestPause: longestPause, clock: ContinuousClock())
    }

    func outcome<Time: Clock>(
        of process: GuestProcess, deadline: Time.Instant, longestPause: Duration = Self.longestPause, clock: Time
    ) async -> ExecOutcome where Time.Duration == Duration {
        let pid = process.pid
        let start = clock.now
        while true {
            var unanswered: AgentError?
            do throws(AgentError) {
                if let result = try await status(pid, within: clock.now.duration(to: deadline)) {
                    return .finished(result)
                }
            } catch {
                guard error.mayBeAskedAgain else { return .lost(pid: pid, error) }
                unanswered = error
            }
            let now = clock.now
            guard now < deadline else { return Self.givenUp(pid, .deadline, unanswered) }
            let pause = min(max(start.duration(to: now) / 8, Self.shortestPause), longestPause)
            do {
                try await clock.sleep(until: min(now.advanced(by: pause), deadline), tolerance: nil)
            } catch {
                return Self.givenUp(pid, .cancelled, unanswered)
            }
        }
    }

    private static func givenUp(_ pid: Int, _ reason: ExecOutcome.Reason, _ error: AgentError?) -> ExecOutcome {
        error.map { .lost(pid: pid, $0) } ?? .unfinished(pid: pid, reason)
    }

    /// Starts a program in the guest and leaves it running (guest-exec). After an error it may have started unless
    /// `mayHaveRun` is false.
    public func start(_ command: GuestCommand, within remaining: Duration) async throws(AgentError) -> GuestProcess {
        let name = "guest-exec"
        guard remaining > .zero else { throw AgentError(.notSent("its deadline has passed"), command: name) }
        let arguments: JSONObject
        do throws(AgentError) {
            arguments = try command.execArguments()
        } catch {
            throw AgentError(error.kind, command: name)
        }
        return try await ask(name, arguments, timeout: min(timeout, remaining)) { reply throws(AgentError) in
            GuestProcess(pid: try reply.member("pid").integer(in: 1...Int(UInt32.max)))
        }
    }

    private func status(_ pid: Int, within remaining: Duration) async throws(AgentError) -> ExecResult? {
        let arguments: JSONObject = ["pid": .integer(Int64(pid))]
        return try await ask("guest-exec-status", arguments, timeout: min(timeout, remaining)) {
            reply throws(AgentError) in try ExecResult(reply)
        }
    }
}

extension AgentError {
    /// Whether asking for the status again can still give the result. If it got lost on the way, the agent then says
    /// that there is no such PID.
    fileprivate var mayBeAskedAgain: Bool {
        switch kind {
        case .busy, .unresponsive, .timedOut: true
        default: false
        }
    }
}
