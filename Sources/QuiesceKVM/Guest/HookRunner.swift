// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import JSON
import Quiesce
import Synchronization

/// Runs hooks in one guest for one run.
final class HookRunner: Sendable {
    let agent: GuestAgent
    let run: RunID
    private let domain: String
    let time: any Time
    /// What is in the run's folder in the guest.
    private let files = Mutex<Set<String>>([])
    /// Hooks that only wait for their word, or run in their turn, by the name of their files.
    let waiting = Mutex<[String: Waiting]>([:])
    /// Gates of those that got their word from another: closed when nobody waits for anything.
    let spent = Mutex<[GuestFile]>([])
    static let script = "run"

    /// - Parameter domain: its name.
    init(agent: GuestAgent, run: RunID, domain: String, time: any Time) {
        self.agent = agent
        self.run = run
        self.domain = domain
        self.time = time
    }

    /// Beyond the hook's own limit: for the end of one that goes on, and for the answer to get here.
    static let grace = Duration.seconds(5)
    private static let pause = Duration.milliseconds(200)

    /// How a verb ended, before anybody has looked at what it wrote.
    enum Ending: Sendable, Hashable {
        /// The hook's exit code, its stdout, and the last line of its stderr.
        case ended(code: Int, output: [UInt8], cause: String)
        case failed(String)
        case unstarted(String)
        case unknown(String)
    }

    /// Runs it to its end or its limit, and asks again for an answer that got lost.
    func ending(of call: HookCall, within limit: Duration) async -> Ending {
        if let ending = await released(call, within: limit) { return ending }
        // Twice, for a guest whose /run was cleared meanwhile.
        for _ in 1...2 {
            do throws(GuestFailure) { try await putAll(for: call) } catch {
                return .unstarted("\(call.verb.rawValue) was not started: \(error.cause)")
            }
            if let ending = await begun(call, within: limit) { return ending }
            files.withLock { $0 = [] }
        }
        return .unstarted("\(call.verb.rawValue) was not started: nothing stays in /run/stillpoint of the guest")
    }

    func putAll(for call: HookCall) async throws(GuestFailure) {
        try await put(Self.script, Array(HookScript.run.utf8))
        try await put(call.hook.name + ".text", Array(call.hook.text.utf8))
    }

    /// A file in the run's folder in the guest, unless it was put there before.
    func put(_ name: String = script, _ bytes: [UInt8] = Array(HookScript.run.utf8)) async throws(GuestFailure) {
        guard !files.withLock({ $0.contains(name) }) else { return }
        let words = ["/run/stillpoint/\(run)", name, "\(bytes.count)"]
        let command = GuestCommand(
            "/bin/sh", arguments: ["-c", HookScript.put, "stillpoint"] + words, input: bytes)
        _ = try await GuestScript.run(command, on: agent, within: .seconds(15))
        files.withLock { _ = $0.insert(name) }
    }

    /// Leaves nothing of the run in the guest.
    func tidy() async throws(GuestFailure) {
        await dismiss()
        files.withLock { $0 = [] }
        _ = try await HookScript.tidy.run(HookScript.tidying(run, .now), on: agent, within: .seconds(10))
    }

    /// Nil where the guest lacks what was put there.
    private func begun(_ call: HookCall, within limit: Duration) async -> Ending? {
        let token = Self.newToken()
        let deadline = time.now + limit + Self.grace
        let outcome: ExecOutcome
        do throws(AgentError) {
            outcome = try await start(command(call, within: limit, token: token), until: time.now + limit, deadline)
        } catch {
            return .unstarted("\(call.verb.rawValue) was not started: \(error.description)")
        }
        return await ending(of: outcome, call, token, within: limit, until: deadline)
    }

    /// What became of the script that ran the hook; nil where it or the hook was not there, and nothing has begun.
    func ending(
        of outcome: ExecOutcome, _ call: HookCall, _ token: String, within limit: Duration,
        until deadline: ContinuousClock.Instant
    ) async -> Ending? {
        let loss: String
        switch outcome {
        case .finished(let result):
            if let ending = ending(result, token) { return ending }
            let said = Self.lastLine(result.stderr)
            if HookScript.isMissing(result.exit, said) { return nil }
            guard result.succeeded else {
                loss = "the shell in the guest ended with \(result.exit)\(said.isEmpty ? "" : ": \(said)")"
                break
            }
            // It came to its end, and the end of the output is missing: it was cut off.
            return .failed("wrote more than \(ByteCount(Int64(ExecOutput.limit)))")
        case .unfinished: loss = "did not end within \(limit.forPeople)"
        case .lost(_, let error): loss = "its answer is lost: \(error.description)"
        }
        return await collected(call, token, until: deadline) ?? .unknown(loss)
    }

    /// Nobody has begun anything while the agent is busy or away, so it is asked again.
    private func start(
        _ command: GuestCommand, until last: ContinuousClock.Instant, _ deadline: ContinuousClock.Instant
    ) async throws(AgentError) -> ExecOutcome {
        while true {
            do throws(AgentError) {
                return try await agent.exec(command, deadline: deadline)
            } catch {
                guard error.kind == .busy || error.kind == .notConnected, time.now + Self.pause < last else {
                    throw error
                }
                await time.sleep(until: time.now + Self.pause)
            }
        }
    }

    /// The result file, as soon as it is whole; nil where it never gets so.
    private func collected(_ call: HookCall, _ token: String, until deadline: ContinuousClock.Instant) async -> Ending?
    {
        let command = HookScript.collect.command([run.description, Self.file(of: call)])
        repeat {
            if case .finished(let result) = try? await agent.exec(command, deadline: time.now + .seconds(5)),
                let ending = ending(result, token)
            {
                return ending
            }
            await time.sleep(until: min(time.now + Self.pause, deadline))
        } while time.now < deadline
        return nil
    }

    /// Nil unless its last line is our own of this very call.
    private func ending(_ result: ExecResult, _ token: String) -> Ending? {
        guard result.succeeded, result.stdout.bytes.last == Self.newline else { return nil }
        let lines = result.stdout.bytes.dropLast()
        let start = (lines.lastIndex(of: Self.newline) ?? -1) + 1
        let words = String(decoding: lines[start...], as: UTF8.self).split(separator: " ")
        guard words.count == 4, words[0] == "stillpoint-end", words[1] == run.description, words[2] == token,
            let code = Int(words[3]), (0...255).contains(code)
        else { return nil }
        // The line before ours is ended by us.
        return .ended(code: code, output: Array(lines[..<max(0, start - 1)]), cause: Self.lastLine(result.stderr))
    }

    private static func lastLine(_ output: ExecOutput) -> String {
        String(decoding: output.bytes, as: UTF8.self).split(separator: "\n").last?.printable(limit: 300) ?? ""
    }

    private static let newline = UInt8(ascii: "\n")
}

extension HookRunner {
    /// - Parameter waiting: nil for one that begins at once; the words that make it wait.
    func command(_ call: HookCall, within limit: Duration, token: String, waiting: [String] = []) -> GuestCommand {
        GuestCommand(
            "/bin/sh",
            arguments: [
                "/run/stillpoint/\(run)/\(Self.script)", call.verb.rawValue, Self.seconds(limit), call.hook.name,
                Self.file(of: call), token,
            ] + waiting, environment: environment(call))
    }

    static func newToken() -> String { String(UInt64.random(in: .min ... .max), radix: 16) }

    /// At least one. A lease ends no later than it was lent.
    static func seconds(_ duration: Duration) -> String { "\(max(1, duration.components.seconds))" }

    /// At least one. What is to thaw at a deadline does not do it before.
    static func fullSeconds(_ duration: Duration) -> String {
        "\(max(1, duration.components.seconds + (duration.components.attoseconds > 0 ? 1 : 0)))"
    }

    private func environment(_ call: HookCall) -> [String: String] {
        var variables = [
            "STILLPOINT_RUN": run.description, "STILLPOINT_DOMAIN": domain, "STILLPOINT_VERB": call.verb.rawValue,
            "STILLPOINT_LEASE_S": Self.seconds(call.lease),
            "STILLPOINT_MOUNTPOINTS": call.mountpoints.joined(separator: "\n"),
        ]
        if let outcome = call.outcome { variables["STILLPOINT_OUTCOME"] = outcome.rawValue }
        var parameters = call.parameters
        if let instance = call.instance { parameters["instance"] = instance }
        if let recorded = call.recorded { parameters["recordedPosition"] = try? JSONValue(encoding: recorded).text() }
        for (key, value) in parameters { variables["STILLPOINT_PARAM_" + Self.upperSnake(key)] = value }
        return variables
    }

    /// `lockWait` → `LOCK_WAIT`
    static func upperSnake(_ key: String) -> String {
        key.reduce(into: "") { name, letter in
            if letter.isUppercase { name += "_" }
            name += letter.uppercased()
        }
    }

    /// The instance is the guest's word, and no word of the guest becomes a path: only its digest does.
    static func file(of call: HookCall) -> String {
        let instance =
            (call.instance ?? call.parameters["instance"]).map { "." + SHA256.hex(of: Array($0.utf8)).prefix(8) } ?? ""
        return "\(call.hook.name)\(instance).\(call.verb.rawValue)"
    }
}
