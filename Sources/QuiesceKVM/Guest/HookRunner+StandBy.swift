// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Quiesce
import Synchronization

/// Hooks that wait for their word. Starting processes is most of what a verb takes, and while a lock is held the guest's
/// users wait for it (five processes a verb, 0.5 s on a busy guest of TCG, measured): so they are started before the first
/// lock, up to a pipe that each of them reads.
extension HookRunner {
    /// One that waits: what it will be asked for, and the two things by which only this agent knows it.
    struct Waiting: Sendable {
        let token: String
        let process: GuestProcess
        let gate: GuestFile
    }

    /// Far longer than any hold; with the agent or its word for the gate, they end as well.
    private static let longestWait = Duration.seconds(900)

    /// Has these calls wait. One that cannot, for whatever reason, is started when it is made.
    func standBy(_ calls: [HookCall]) async {
        let names = calls.map(Self.file)
        guard !calls.isEmpty, Set(names).count == names.count,
            (try? await HookScript.gates.run([run.description] + names, on: agent, within: .seconds(10))) != nil
        else { return }
        var started: [String: Waiting] = [:]
        for (call, name) in zip(calls, names) {
            guard (try? await putAll(for: call)) != nil else { continue }
            let token = Self.newToken()
            let command = command(call, within: Self.longestWait, token: token, waits: true)
            guard let process = try? await agent.start(command, within: .seconds(5)),
                let gate = try? await agent.openPipe("/run/stillpoint/\(run)/\(name).gate")
            else { continue }
            started[name] = Waiting(token: token, process: process, gate: gate)
        }
        let all = [run.description] + names
        let answer = try? await HookScript.waiting.run(all, on: agent, within: .seconds(10))
        let ready = Set((answer ?? "").split(separator: "\n").map(String.init))
        for (name, waiting) in started where !ready.contains(name) { try? await agent.close(waiting.gate) }
        let waits = started.filter { ready.contains($0.key) }
        waiting.withLock { $0 = waits }
    }

    /// Gives a call that waits its word, and waits for its end; nil when it does not wait, and when it surely got no word.
    func released(_ call: HookCall, within limit: Duration) async -> Ending? {
        let name = Self.file(of: call)
        guard let waits = waiting.withLock({ $0.removeValue(forKey: name) }) else { return nil }
        let word = "\(Self.seconds(call.lease)) \(call.outcome?.rawValue ?? "-")\n"
        do throws(AgentError) {
            try await agent.write(Array(word.utf8), closing: waits.gate)
        } catch {
            // An agent that was restarted does not know the file, and those that waited ended with the old one.
            guard error.mayHaveRun else { return nil }
            if case .refused = error.kind { return nil }
        }
        let deadline = time.now + limit
        var outcome = await agent.outcome(of: waits.process, deadline: deadline)
        if case .unfinished = outcome {
            _ = try? await HookScript.stop.run([run.description, name], on: agent, within: .seconds(5))
            outcome = await agent.outcome(of: waits.process, deadline: time.now + Self.grace)
        }
        let ending = await ending(of: outcome, call, waits.token, within: limit, until: deadline + Self.grace)
        // The word did not reach it, and it has done nothing.
        if case .ended(HookScript.noWord.code, [], HookScript.noWord.cause) = ending { return nil }
        return ending
    }

    /// Those that still wait end.
    func dismiss() async {
        for waits in waiting.withLock({ waiting in
            defer { waiting = [:] }
            return waiting.values
        }) { try? await agent.close(waits.gate) }
    }
}
