// SPDX-License-Identifier: Apache-2.0

/// The applications: prepared while nothing waits, locked last, released first.
extension SnapshotRun {
    /// Checkpoints and the like. The journal knows of the hooks before the first of them runs.
    func prepareApplications(_ record: inout RunRecord) async throws(Failure) {
        guard !record.hooks.isEmpty else { return }
        let hooks = plan.applications.map { PreparedHook($0) }
        try await ports.journal.record(.preparing(hooks: hooks), of: run, at: ports.time.wall)
        try await record.hooks.prepare()
    }

    /// From here to the release writers wait, so nothing else is done in between.
    func lockApplications(_ record: inout RunRecord) async throws(Failure) {
        guard !record.hooks.isEmpty else { return }
        tell(.began(.preFreeze))
        // What is dirty is written out in the window, or before the first lock: while one is held, others wait.
        if plan.freezes { try? await ports.guest.sync(plan.synced.map(\.mountpoint), within: .seconds(10)) }
        let start = ports.time.now
        do throws(Failure) {
            try await record.hooks.lock()
            try demandRequired(record)
        } catch {
            record.add(.preFreeze, .failed, from: start, to: ports.time.now, error.message)
            throw error
        }
        let locked = record.hooks.entries.count(where: \.isLocked)
        record.add(.preFreeze, .ok, from: start, to: ports.time.now, "\(locked) of \(record.hooks.entries.count) ready")
    }

    /// No guest is frozen for a snapshot that is undone in any case.
    private func demandRequired(_ record: RunRecord) throws(Failure) {
        guard request.required == .application,
            let entry = record.hooks.entries.first(where: { $0.application.isRequired && $0.failure != nil }),
            let why = entry.failure
        else { return }
        throw Failure(
            .requiredLevelMissed,
            "application was required, and \(entry.application.label) could not be prepared: \(why); nothing was frozen"
        )
    }

    func releaseApplications(_ record: inout RunRecord) async {
        guard record.hooks.entries.contains(where: { $0.stage != .idle && $0.stage != .released }) else { return }
        let start = ports.time.now
        let outcome: HookCall.Outcome =
            switch record.window?.cut {
            case .done: .taken
            case .failed: .unknown
            case .notSent, nil: .failed
            }
        await record.hooks.release(outcome)
        let stuck = record.hooks.stuck
        record.add(
            .postThaw, stuck.isEmpty ? .ok : .failed, from: start, to: ports.time.now,
            stuck.isEmpty ? nil : stuck.map(\.application.label).joined(separator: ", "))
        let names = record.hooks.entries.filter(\.isReleased).map(\.application.label)
        do throws(Failure) {
            try await ports.journal.record(.released(hooks: names), of: run, at: ports.time.wall)
        } catch {
            tell(.note("journal: \(error.message)"))
        }
    }
}

extension HookStack {
    /// What each of its entries gave, under names that are theirs alone in the run: `postgresql-15-main-backup_label`.
    var artifacts: [[HookReply.Artifact]] {
        var taken: Set<String> = []
        return entries.map { entry in
            entry.reply.artifacts.map { artifact in
                let name = "\(entry.plainName)-\(artifact.name)"
                var (artifact, number) = (artifact, 1)
                artifact.name = name
                // The instances `a/b` and `a-b` are one in a file's name.
                while !taken.insert(artifact.name).inserted {
                    number += 1
                    artifact.name = "\(name)-\(number)"
                }
                return artifact
            }
        }
    }
}

extension HookStack.Entry {
    /// As a file's name has it: `postgresql-15-main`.
    fileprivate var plainName: String {
        application.choice.hook.name + (application.facts.instance.map { "-" + String($0.map(Self.plain)) } ?? "")
    }

    private static func plain(_ letter: Character) -> Character {
        letter.isASCII && (letter.isLetter || letter.isNumber || letter == "." || letter == "_") ? letter : "-"
    }

    /// Where it stands at the end of a run, with what it gave.
    func report(_ artifacts: [HookReply.Artifact]) -> MemberReport.Application {
        if stage == .idle { return .init(application.facts, .skipped, "the run ended before its turn") }
        let status: MemberReport.Application.Status =
            releaseFailure != nil ? .notReleased : failure != nil ? .failed : .prepared
        return MemberReport.Application(
            application.facts, status, releaseFailure ?? failure, held: reply.held, holdMs: reply.holdMs,
            tookMs: Dictionary(tookMs.map { ($0.key.rawValue, $0.value) }, uniquingKeysWith: { $1 }),
            position: reply.position, facts: reply.facts,
            artifacts: artifacts.map { .init(name: $0.name, sha256: $0.sha256) })
    }
}

extension MemberReport.Application {
    init(_ skipped: MemberPlan.SkippedApplication) {
        self.init(skipped.facts, .skipped, skipped.reason)
    }
}
