// SPDX-License-Identifier: Apache-2.0

/// The restore test: starts a clone from a snapshot's frozen images, lets every application recover in it, and holds what it
/// recovered to against what was recorded at the cut. Whatever happens, the clone is gone afterwards.
public struct CloneRun: Sendable {
    public struct Request: Sendable {
        /// For all of it. What is not done by then is not checked, which is no failure.
        public var limit: Duration = .seconds(600)
        public var halvesMemory = false
        /// The clone goes on running, for a look.
        public var keeps = false
        /// Every hook that may be needed, with the configuration's parameters.
        public var hooks: [HookChoice] = []

        public init() {}
    }

    /// One application that has to be whole.
    struct Wanted {
        var choice: HookChoice
        var instance: String?
        var version: String?
        var role: ApplicationFacts.Role?
        var recorded: Position?
    }

    let host: any CloneHost
    let request: Request
    let time: any Time
    let interruption: Interruption
    let tell: @Sendable (String) -> Void

    public init(
        on host: any CloneHost, _ request: Request, time: any Time, interruption: Interruption,
        telling listener: @escaping @Sendable (String) -> Void
    ) {
        self.host = host
        self.request = request
        self.time = time
        self.interruption = interruption
        tell = listener
    }

    public func plan(_ snapshot: MemberReport.Snapshot, of run: RunID) async throws(Failure) -> ClonePlan {
        try await host.plan(snapshot, of: run, halvingMemory: request.halvesMemory)
    }

    func execute(
        _ snapshot: MemberReport.Snapshot, _ applications: [MemberReport.Application], of run: RunID
    ) async throws(Failure) -> (check: Check, report: CloneReport) {
        try await host.sweep()
        let plan = try await plan(snapshot, of: run)
        var report = CloneReport(plan)
        tell("starting \(plan.name)")
        let begin = time.now
        let clone: any Clone
        do throws(Failure) {
            clone = try await host.start(plan, keeping: request.keeps)
        } catch {
            return (Check(.notChecked, "the clone was not started: \(error.message)"), report)
        }
        let check: Check
        do throws(Failure) {
            check = try await watch(clone, since: begin, wanted(applications), into: &report)
        } catch {
            try await clone.remove()
            throw error
        }
        if check.result != .ok { report.console = await clone.console() }
        if request.keeps {
            try await clone.keep()
            report.kept = true
        } else {
            tell("removing \(plan.name)")
            try await clone.remove()
        }
        return (check, report)
    }

    /// Those that ran at the cut have to be whole in the clone too, whatever became of their locks.
    private func wanted(_ applications: [MemberReport.Application]) -> [Wanted] {
        applications.filter(\.hasRun).compactMap { application in
            let own = request.hooks.filter { $0.hook.name == application.name }
            let choice = own.first { $0.parameters["instance"] == application.instance } ?? own.first
            return choice.map {
                Wanted(
                    choice: $0, instance: application.instance, version: application.version, role: application.role,
                    recorded: application.position)
            }
        }
    }

    private func watch(
        _ clone: any Clone, since begin: ContinuousClock.Instant, _ recorded: [Wanted], into report: inout CloneReport
    ) async throws(Failure) -> Check {
        let deadline = begin + request.limit
        if let failure = try await boot(clone, since: begin, until: deadline) { return failure }
        let boot = begin.duration(to: time.now)
        report.bootMs = boot.inMilliseconds
        tell("booted in \(boot.forPeople)")
        var open = recorded
        var last: [String] = []
        if recorded.isEmpty {
            while try await starting(clone, since: begin + boot) != nil, time.now < deadline {
                if let end = await end(of: clone, while: "its system started") { return end }
                await pause(until: deadline)
            }
            open = await running(clone)
        }
        while !open.isEmpty {
            // Asked before the probes: what is not there after that does not come any more.
            let starting = try await starting(clone, since: begin + boot)
            let found = await clone.applications(Self.choices(of: open))
            var rest: [Wanted] = []
            last = []
            for wanted in open {
                let facts = found.first {
                    $0.choice.hook.name == wanted.choice.hook.name && $0.instance == wanted.instance
                }
                switch await verify(wanted, as: facts, in: clone, starting, until: deadline) {
                case .judged(let result):
                    report.applications.append(result)
                    report.recoveryMs = begin.duration(to: time.now).inMilliseconds
                case .notYet(let why):
                    rest.append(wanted)
                    last.append(why)
                }
            }
            open = rest
            if open.isEmpty { break }
            if let end = await end(of: clone, while: "its applications recovered") { return end }
            guard time.now < deadline else { break }
            await pause(until: deadline)
        }
        report.applications += zip(open, last).map { wanted, why in
            CloneReport.Application(
                wanted, Check(.notChecked, "had not recovered within \(request.limit.forPeople): \(why)"))
        }
        return sum(report, boot)
    }

    /// Nil once the agent answers.
    private func boot(
        _ clone: any Clone, since begin: ContinuousClock.Instant, until deadline: ContinuousClock.Instant
    ) async throws(Failure) -> Check? {
        var tens: Int64 = 0
        while await !clone.answers() {
            try interruption.check()
            if let end = await end(of: clone, while: "it booted") { return end }
            guard time.now < deadline else {
                return Check(.notChecked, "the clone's agent did not answer within \(request.limit.forPeople)")
            }
            let elapsed = begin.duration(to: time.now).components.seconds / 10
            if elapsed > tens { tell("booting, \(Duration.seconds(elapsed * 10).forPeople)") }
            tens = max(tens, elapsed)
            await pause(until: deadline)
        }
        return nil
    }

    /// Nil as long as it can go on: one that takes all of the host's room cannot.
    private func end(of clone: any Clone, while doing: String) async -> Check? {
        switch await clone.state() {
        case .running: nil
        case .ended(let why): Check(.failed, "the clone stopped while \(doing): \(why)")
        case .stuck(let why): Check(.notChecked, "the clone could not go on: \(why)")
        }
    }

    /// What its system is still about, nil once it has settled. One that cannot say so gets a minute.
    private func starting(_ clone: any Clone, since boot: ContinuousClock.Instant) async throws(Failure) -> String? {
        try interruption.check()
        switch await clone.start() {
        case .settled: return nil
        case .underWay(let units):
            return "its system still starts\(units.isEmpty ? "" : " \(units.joined(separator: ", "))")"
        case .unknown:
            return boot.duration(to: time.now) > .seconds(60) ? nil : "it booted less than a minute ago"
        }
    }

    private func pause(until deadline: ContinuousClock.Instant) async {
        await time.sleep(until: min(deadline, time.now + .seconds(1)))
    }

    /// Nothing was recorded: whatever runs has to be whole.
    private func running(_ clone: any Clone) async -> [Wanted] {
        await clone.applications(request.hooks).filter { $0.state == .running || $0.state == .recovering }.map {
            Wanted(choice: $0.choice, instance: $0.instance, version: $0.version, role: $0.role, recorded: nil)
        }
    }

    private static func choices(of open: [Wanted]) -> [HookChoice] {
        open.reduce(into: []) { if !$0.contains($1.choice) { $0.append($1.choice) } }
    }

    private enum Answer {
        case judged(CloneReport.Application)
        /// It has to be asked again.
        case notYet(String)

        init(_ wanted: Wanted, _ check: Check, recovered: Position? = nil, tookMs: Int64 = 0) {
            self = .judged(.init(wanted, check, recovered: recovered, tookMs: tookMs))
        }
    }

    private func verify(
        _ wanted: Wanted, as facts: ApplicationFacts?, in clone: any Clone, _ starting: String?,
        until deadline: ContinuousClock.Instant
    ) async -> Answer {
        switch facts?.state {
        case .running: break
        // A replica stays in recovery for ever.
        case .recovering where starting == nil && wanted.role == .replica: break
        case .recovering: return .notYet("it still recovers")
        case nil, .absent, .stopped:
            guard let starting else { return Answer(wanted, Check(.failed, "does not run in the clone")) }
            return .notYet("it does not run, and \(starting)")
        case .denied(let why), .unclear(let why):
            return starting == nil ? Answer(wanted, Check(.notChecked, why)) : .notYet(why)
        }
        var wanted = wanted
        wanted.version = facts?.version ?? wanted.version
        tell("verifying \(wanted.choice.hook.name)\(wanted.instance.map { " \($0)" } ?? "")")
        let begin = time.now
        let limit = max(.seconds(1), begin.duration(to: deadline))
        let result = await clone.run(
            HookCall(
                .verify, of: wanted.choice.hook, parameters: wanted.choice.parameters, instance: wanted.instance,
                recorded: wanted.recorded), within: limit)
        let took = begin.duration(to: time.now).inMilliseconds
        switch result {
        case .done(let reply):
            return Answer(wanted, Self.judge(reply, wanted.recorded), recovered: reply.position, tookMs: took)
        case .busy(let why) where time.now < deadline: return .notYet(why)
        case .failed(let why) where time.now < deadline: return Answer(wanted, Check(.failed, why), tookMs: took)
        case .busy(let why), .failed(let why), .denied(let why), .unstarted(let why), .unknown(let why):
            return Answer(wanted, Check(.notChecked, why), tookMs: took)
        }
    }

    /// The hook's own word, and the positions held against each other by us.
    static func judge(_ reply: HookReply, _ recorded: Position?) -> Check {
        let detail = reply.detail ?? "no detail"
        switch reply.whole {
        case false?: return Check(.failed, detail)
        case nil: return Check(.notChecked, "its hook does not say whether the data is whole: \(detail)")
        case true?: break
        }
        guard let recorded else { return Check(.ok, "\(detail); no position was recorded") }
        switch recorded.compared(with: reply.position) {
        case .holds: return Check(.ok, detail)
        case .differs(let how): return Check(.failed, "\(how); \(detail)")
        case .incomparable(let why): return Check(.ok, "\(detail); position not compared: \(why)")
        }
    }

    private func sum(_ report: CloneReport, _ boot: Duration) -> Check {
        let applications = report.applications
        func first(_ result: Check.Result) -> String? {
            applications.first { $0.check.result == result }.map {
                "\([$0.name, $0.instance].compactMap(\.self).joined(separator: " ")): \($0.check.detail)"
            }
        }
        if let failed = first(.failed) { return Check(.failed, failed) }
        if let blind = first(.notChecked) { return Check(.notChecked, blind) }
        guard !applications.isEmpty else {
            return Check(.notChecked, "it boots, in \(boot.forPeople), and runs no application that a hook knows")
        }
        let recovery = Duration.milliseconds(report.recoveryMs ?? 0).forPeople
        return Check(
            .ok, "\(applications.count.of("application")) whole, booted in \(boot.forPeople), recovered in \(recovery)")
    }
}
