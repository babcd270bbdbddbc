// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Libvirt
import Quiesce
import Synchronization

/// The guest's agent behind the product's port: one channel for the work, one with a connection of its own for the thaw.
final class AgentGuestControl: GuestControl {
    private let guest: LibvirtGuest
    private let agent: GuestAgent
    private let run: RunID
    private let time: any Time
    private let hooks: HookRunner
    private let rescue = Mutex<GuestAgent?>(nil)

    init(_ guest: LibvirtGuest, run: RunID, time: any Time) {
        self.guest = guest
        self.run = run
        self.time = time
        agent = GuestAgent(channel: LibvirtAgentChannel(guest: guest))
        hooks = HookRunner(agent: agent, run: run, domain: guest.domain.name, time: time)
    }

    func prepareRescue() async throws(Failure) {
        let channel = LibvirtAgentChannel(guest: try await guest.duplicated(lane: "rescue.\(guest.domain.uuid)"))
        let agent = GuestAgent(channel: channel)
        do throws(AgentError) {
            // Tested with the agent itself: a connection that cannot reach it would thaw nothing.
            try await agent.ping()
        } catch {
            throw Failure(.refused, "the thaw's own connection does not reach the agent: \(error.description)")
        }
        rescue.withLock { $0 = agent }
    }

    func clockOffset() async throws(GuestFailure) -> ClockOffset {
        try await asked { () throws(AgentError) in
            var best: ClockOffset?
            for _ in 0..<3 {
                let before = time.wall.milliseconds
                let theirs = try await agent.time().inMilliseconds
                let after = time.wall.milliseconds
                let uncertainty = max(1, (after - before + 1) / 2)
                if let known = best, known.uncertainty <= uncertainty { continue }
                best = ClockOffset(milliseconds: theirs - (before + (after - before) / 2), uncertainty: uncertainty)
            }
            return best ?? ClockOffset(milliseconds: 0, uncertainty: .max)
        }
    }

    func sync(_ mountpoints: [String], within limit: Duration) async throws(GuestFailure) {
        _ = try await GuestScript.sync.run(mountpoints, on: agent, within: limit)
    }

    func arm(_ mountpoints: [String], longStop: Duration, expedites: Bool) async throws(GuestFailure) -> DeadMan {
        let words = [run.description, HookRunner.fullSeconds(longStop), expedites ? "1" : "0"]
        // Nothing waits yet, and an emulated guest with four databases under load took more than 20 s (measured).
        let answer = try await GuestScript.arm.run(words + mountpoints, on: agent, within: .seconds(60))
        switch answer.split(separator: "\n").last {
        case "armed": return .armed
        case "agentBound": return .agentBound
        default: throw GuestFailure(.malformed, "the dead-man's script answered otherwise")
        }
    }

    func steady(_ words: LastWords) async throws(GuestFailure) {
        let mayBeLongAgo = hooks.isInTurn(words)
        switch await hooks.said(words, within: .seconds(10)) {
        case .ended(0, _, _) where !mayBeLongAgo: return
        // Said behind the locks, at a moment that nobody knows: the deadline is set again.
        case .ended(0, _, _): break
        case .ended(let code, _, let cause):
            throw GuestFailure(.refused, "the script in the guest ended with \(code): \(cause)")
        case .failed(let why), .unstarted(let why), .unknown(let why): throw GuestFailure(.timedOut, why)
        case nil: break
        }
        let own = [run.description, HookRunner.fullSeconds(words.deadline), words.expedites ? "1" : "0"]
        _ = try await GuestScript.steady.run(own + words.mountpoints, on: agent, within: .seconds(10))
    }

    func disarm(_ run: RunID) async throws(GuestFailure) -> String? {
        await hooks.outlastLastWords()
        let answer = try await GuestScript.disarm.run([run.description], on: agent, within: .seconds(10))
        return answer.split(separator: "\n").first.map { $0.printable(limit: 32) }
    }

    func thawAll() async throws(GuestFailure) {
        _ = try await GuestScript.thawAll.run(on: agent, within: .seconds(10))
    }

    func standBy(_ turns: [HookTurn]) async { await hooks.standBy(turns) }

    func runInTurn(_ turn: HookTurn) async -> Bool { await hooks.runInTurn(turn) }

    func lastWordsSaid(_ words: LastWords, within limit: Duration) async -> Bool {
        await hooks.saidInTurn(words, within: limit)
    }

    func hear(_ call: HookCall, within limit: Duration) async -> HookResult {
        await hooks.heard(call, within: limit).result(within: limit, HookReply.init)
    }

    func tidy(_ run: RunID, _ when: Tidying) async throws(GuestFailure) {
        if when == .now { await hooks.dismiss() }
        _ = try await HookScript.tidy.run(HookScript.tidying(run, when), on: agent, within: .seconds(10))
    }

    func run(_ call: HookCall, within limit: Duration) async -> HookResult {
        await hooks.ending(of: call, within: limit).result(within: limit, HookReply.init)
    }

    func freeze(_ mountpoints: [String], timeout: Duration) async throws(GuestFailure) -> Int {
        try await asked { () throws(AgentError) in try await agent.freeze(mountpoints: mountpoints, timeout: timeout) }
    }

    func thaw(timeout: Duration) async throws(GuestFailure) -> Int {
        let rescuer = rescue.withLock { $0 } ?? agent
        return try await asked { () throws(AgentError) in try await rescuer.thaw(timeout: timeout) }
    }

    private func asked<Value>(_ body: () async throws(AgentError) -> Value) async throws(GuestFailure) -> Value {
        do throws(AgentError) {
            return try await body()
        } catch {
            throw GuestFailure(error)
        }
    }
}
