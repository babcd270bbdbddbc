// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Quiesce
import Synchronization

/// Hooks that wait for their word. Starting processes is most of what a verb takes, and while a lock is held the guest's
/// users wait for it (five processes a verb, 0.5 s on a busy guest of TCG, measured): so they are started before the first
/// lock, up to a pipe that each of them reads, and pass the word on to the next by themselves.
extension HookRunner {
    /// One that waits: what it will be asked for, and the two things by which only this agent knows it.
    struct Waiting: Sendable {
        let token: String
        let process: GuestProcess
        let gate: GuestFile
        /// Who gets the word after it.
        var next: String?
        /// It has its word, or will be given it by the one before.
        var isInTurn = false
    }

    /// Far longer than any hold; with the agent or its word for the gate, they end as well.
    private static let longestWait = Duration.seconds(900)

    /// Has these calls wait. One that cannot, for whatever reason, is started when it is made.
    func standBy(_ turns: [HookTurn]) async {
        let turns = turns.map(Self.calls)
        let names = turns.joined().map(Self.file)
        guard !names.isEmpty, Set(names).count == names.count,
            (try? await HookScript.gates.run([run.description] + names, on: agent, within: .seconds(10))) != nil
        else { return }
        var started: [String: Waiting] = [:]
        for turn in turns {
            for (call, next) in zip(turn, turn.dropFirst().map(Self.file).map { $0 as String? } + [nil]) {
                started[Self.file(of: call)] = await start(call, before: next)
            }
        }
        let answer = try? await HookScript.waiting.run([run.description] + names, on: agent, within: .seconds(10))
        let ready = Set((answer ?? "").split(separator: "\n").map(String.init))
        for (name, waiting) in started where !ready.contains(name) { try? await agent.close(waiting.gate) }
        let waits = started.filter { ready.contains($0.key) }
        waiting.withLock { $0 = waits }
    }

    private func start(_ call: HookCall, before next: String?) async -> Waiting? {
        let token = Self.newToken()
        let words = ["wait"] + (next.map { [$0] } ?? [])
        guard (try? await putAll(for: call)) != nil,
            let process = try? await agent.start(
                command(call, within: Self.longestWait, token: token, waiting: words), within: .seconds(5)),
            let gate = try? await agent.openPipe("/run/stillpoint/\(run)/\(Self.file(of: call)).gate")
        else { return nil }
        return Waiting(token: token, process: process, gate: gate, next: next)
    }

    private static func calls(of turn: HookTurn) -> [HookCall] {
        turn.calls + (turn.last.map { [call(for: $0)] } ?? [])
    }

    private static func call(for words: LastWords) -> HookCall {
        // No hook's name has a capital.
        let hook = Hook(name: "Last", origin: "", sha256: "", text: GuestScript.steadyInTurn)
        let parameters = ["deadline": fullSeconds(words.deadline), "expedites": words.expedites ? "1" : "0"]
        return HookCall(.preFreeze, of: hook, parameters: parameters)
    }

    /// Waits for words that stand in line with hooks; nil where the guest surely has not got them that way.
    func said(_ words: LastWords, within limit: Duration) async -> Ending? {
        await released(Self.call(for: words), within: limit)
    }

    /// Whether they stand in a turn that has been given its word.
    func isInTurn(_ words: LastWords) -> Bool { isInTurn(Self.call(for: words)) }

    /// The same for words in turn; where they are not said by then, or nobody knows, they stay in line.
    func saidInTurn(_ words: LastWords, within limit: Duration) async -> Bool {
        let call = Self.call(for: words)
        guard let waits = waiting.withLock({ $0[Self.file(of: call)] }), waits.isInTurn else { return false }
        let deadline = time.now + limit
        let outcome = await agent.outcome(of: waits.process, deadline: deadline, longestPause: .milliseconds(5))
        guard case .finished = outcome else { return false }
        // The agent tells only once that a process has ended.
        leaveLine(Self.file(of: call))
        guard case .ended(0, _, _)? = await ending(of: outcome, call, waits.token, within: limit, until: deadline)
        else {
            return false
        }
        // The turn has gone through: what one of them ends with calls no other off.
        waiting.withLock { waiting in
            for (name, waits) in waiting where waits.isInTurn { waiting[name]?.next = nil }
        }
        return true
    }

    @discardableResult
    private func leaveLine(_ name: String) -> Waiting? {
        guard let waits = waiting.withLock({ $0.removeValue(forKey: name) }) else { return nil }
        if waits.isInTurn { spent.withLock { $0.append(waits.gate) } }
        return waits
    }

    private func isInTurn(_ call: HookCall) -> Bool { waiting.withLock { $0[Self.file(of: call)]?.isInTurn } == true }

    /// How a call in turn ended.
    func heard(_ call: HookCall, within limit: Duration) async -> Ending {
        guard isInTurn(call),
            let ending = await released(call, within: limit, grace: .seconds(1))
        else { return .unknown("it was not in turn") }
        return ending
    }

    /// Words that are said in turn and that nobody has waited for are not called off while they are being said.
    func outlastLastWords() async {
        let call = Self.call(for: LastWords([], deadline: .zero, expedites: false))
        guard isInTurn(call) else { return }
        _ = await released(call, within: Self.grace)
    }

    /// Gives the first of them the word for all; false where they do not wait as one list, or surely did not get it.
    func runInTurn(_ turn: HookTurn) async -> Bool {
        let calls = Self.calls(of: turn)
        let names = calls.map(Self.file)
        let waits = waiting.withLock { waiting in names.compactMap { waiting[$0] } }
        let following = names.dropFirst().map { $0 as String? } + [nil]
        guard let call = calls.first, waits.map(\.next) == following else { return false }
        guard await isTold(waits[0], call, "next") else { return false }
        waiting.withLock { waiting in for name in names { waiting[name]?.isInTurn = true } }
        return true
    }

    /// Waits for the end of a call that waits or is in turn; nil when it does not, and when it surely got no word.
    func released(_ call: HookCall, within limit: Duration, grace: Duration = HookRunner.grace) async -> Ending? {
        let name = Self.file(of: call)
        if call.verb == .postThaw { await outlast(call) }
        guard let waits = leaveLine(name) else { return nil }
        if !waits.isInTurn, await !isTold(waits, call, "-") { return nil }
        let deadline = time.now + limit
        var outcome = await agent.outcome(of: waits.process, deadline: deadline)
        if case .unfinished = outcome {
            _ = try? await HookScript.stop.run([run.description, name], on: agent, within: .seconds(5))
            outcome = await agent.outcome(of: waits.process, deadline: time.now + grace)
        }
        let ending = await ending(of: outcome, call, waits.token, within: limit, until: deadline + grace)
        if case .ended(0, _, _) = ending {} else if call.verb == .preFreeze { endTurn(after: waits) }
        // The word did not reach it, and it has done nothing.
        if case .ended(HookScript.noWord.code, [], HookScript.noWord.cause) = ending { return nil }
        return ending
    }

    /// Those that still wait end, and the agent keeps no file of theirs.
    func dismiss() async {
        let gates = waiting.withLock { waiting in
            defer { waiting = [:] }
            return waiting.values.map(\.gate)
        }
        let others = spent.withLock { spent in
            defer { spent = [] }
            return spent
        }
        // The first of a turn was closed when it was told; to close it again is refused.
        for gate in gates + others { try? await agent.close(gate) }
    }

    /// False where it surely was not told.
    private func isTold(_ waits: Waiting, _ call: HookCall, _ turn: String) async -> Bool {
        let word = "\(Self.seconds(call.lease)) \(call.outcome?.rawValue ?? "-") \(turn)\n"
        do throws(AgentError) {
            try await agent.write(Array(word.utf8), closing: waits.gate)
        } catch {
            // An agent that was restarted does not know the file, and those that waited ended with the old one.
            if case .refused = error.kind { return false }
            return error.mayHaveRun
        }
        return true
    }

    /// A lock that was not taken ends the turn: those after it still wait.
    private func endTurn(after waits: Waiting) {
        waiting.withLock { waiting in
            var next = waits.next
            while let name = next {
                waiting[name]?.isInTurn = false
                next = waiting[name]?.next
            }
        }
    }

    /// A lock in turn that nobody has waited for is not released while it is being taken.
    private func outlast(_ release: HookCall) async {
        var lock = release
        lock.verb = .preFreeze
        guard isInTurn(lock) else { return }
        _ = await released(lock, within: Self.grace)
    }
}
