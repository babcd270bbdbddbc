// SPDX-License-Identifier: Apache-2.0

/// Freezing and thawing by hand, for a storage snapshot of the caller's own.
public struct HandFreeze: Sendable {
    let guest: GuestIdentity
    let control: any GuestControl
    let journal: any Journal
    let time: any Time
    let interruption: Interruption

    public init(
        _ guest: GuestIdentity, control: any GuestControl, journal: any Journal, time: any Time,
        interruption: Interruption
    ) {
        self.guest = guest
        self.control = control
        self.journal = journal
        self.time = time
        self.interruption = interruption
    }

    /// Freezes what the plan freezes; the guest thaws by itself after `lease`. Any doubt about the freeze ends in a thaw.
    public func freeze(
        _ plan: MemberPlan, as run: RunID, lease: Duration
    ) async throws(Failure) -> FreezeReport {
        if let failure = plan.findings.refusal?.failure { throw failure }
        guard plan.facts.agent.report?.canExecute == true else {
            throw Failure(
                .refused,
                "\(guest.name) does not allow guest-exec, so nothing inside it could end the freeze by itself",
                hint: "take the snapshot here instead:   stillpoint snapshot \(guest.name)")
        }
        let mountpoints = plan.frozen.map(\.mountpoint)
        try await control.prepareRescue()
        try await journal.open(run, for: guest, named: "freeze", at: time.wall)
        let ends: ContinuousClock.Instant
        let until: Timestamp
        do throws(Failure) {
            (ends, until) = try await lend(run, mountpoints, lease)
            try await journal.record(.freezingByHand(mountpoints: mountpoints, until: until), of: run, at: time.wall)
            try interruption.check()
        } catch {
            await callOff(run)
            try? await journal.close(run, .undone, at: time.wall)
            throw error
        }
        var frozen: Int?
        var cause: String?
        do throws(GuestFailure) {
            frozen = try await control.freeze(mountpoints, timeout: .seconds(10))
        } catch {
            if error.kind == .alreadyFrozen {
                await callOff(run)
                try? await journal.close(run, .undone, at: time.wall)
                throw Failure(.refused, "\(guest.name) is frozen already, by somebody else")
            }
            cause = error.cause
        }
        guard let frozen, frozen == mountpoints.count, interruption.status == nil else {
            throw await undo(
                run, because: cause ?? "\((frozen ?? 0).of("filesystem")) frozen of \(mountpoints.count) expected")
        }
        // It may have waited in libvirt for somebody else, and what should have ended it came and went.
        guard time.now < ends else { throw await undo(run, because: "it took longer than its lease") }
        return FreezeReport(domain: guest, mountpoints: mountpoints, frozen: frozen, until: until)
    }

    /// The dead-man, with the lease as its deadline, and when that ends at the earliest: it counts from when it hears of it.
    private func lend(
        _ run: RunID, _ mountpoints: [String], _ lease: Duration
    ) async throws(Failure) -> (ContinuousClock.Instant, Timestamp) {
        do throws(GuestFailure) {
            try await control.sync(mountpoints, within: .seconds(60))
            _ = try await control.arm(mountpoints, longStop: lease + .seconds(120), expedites: false)
            let end = (time.now + lease, time.wall.adding(milliseconds: lease.inMilliseconds))
            try await control.steady(LastWords(mountpoints, deadline: lease, expedites: false))
            return end
        } catch {
            throw Failure(.refused, "the lease could not be started inside \(guest.name): \(error.cause)")
        }
    }

    /// - Parameter orNone: told to thaw anything, a broken journal is no reason not to.
    private func ownFreezes(orNone: Bool) async throws(Failure) -> [UnfinishedRun] {
        do throws(Failure) {
            return try await journal.unfinished(of: guest).filter(\.mayHaveFrozen)
        } catch {
            guard orNone else { throw error }
            return []
        }
    }

    private func undo(_ run: RunID, because cause: String) async -> Failure {
        let outcome = await Thaw(guest: control, time: time, interruption: interruption).untilProved()
        guard case .thawed = outcome else {
            return Failure(
                .maybeFrozen, "\(guest.name) may still be frozen: no thaw was confirmed",
                hint: "stillpoint thaw \(guest.name)")
        }
        await callOff(run)
        try? await journal.close(run, .undone, at: time.wall)
        if let status = interruption.status { return Failure(status, "interrupted; \(guest.name) is thawed") }
        return Failure(.freezeFailed, "\(guest.name) could not be frozen: \(cause); it is thawed")
    }

    /// It ends by itself as well, and then finds nothing frozen.
    private func callOff(_ run: RunID) async {
        _ = try? await control.disarm(run)
        try? await control.tidy(run, .now)
    }

    /// What is known of the guest before it is thawed.
    public struct Thawable: Sendable {
        public var power: GuestFacts.Power
        /// What the agent believes; nil where it does not say.
        public var isFrozen: Bool?
        /// A process that is at work on it.
        public var holder: String?

        public init(power: GuestFacts.Power, isFrozen: Bool?, holder: String?) {
            self.power = power
            self.isFrozen = isFrozen
            self.holder = holder
        }
    }

    /// Thaws our own freeze; another's only when told to. A run that is at work does not succeed then, and goes on to let go
    /// of what it holds.
    ///
    /// - Parameter isDryRun: says what would be thawed, and sends nothing.
    public func thaw(
        _ known: Thawable, foreign: Bool, isDryRun: Bool = false
    ) async throws(Failure) -> ThawReport {
        let ours = try await ownFreezes(orNone: foreign)
        switch known.power {
        case .running: break
        case .shutOff: return ThawReport(domain: guest)
        case .paused(let why), .other(let why):
            throw Failure(
                .maybeFrozen, "\(guest.name) may be frozen, and no thaw can reach it: it is paused (\(why))",
                hint: "virsh resume \(guest.name)\nstillpoint thaw \(guest.name)")
        }
        if ours.isEmpty, !foreign {
            switch known.isFrozen {
            case false?: return ThawReport(domain: guest)
            case true?:
                throw Failure(
                    .refused,
                    "\(guest.name) is frozen, and not by us: whoever froze it may be in the middle of something",
                    hint: "stillpoint thaw \(guest.name) --foreign")
            case nil:
                throw Failure(
                    .maybeFrozen,
                    "\(guest.name) may be frozen, though by nobody known here: its agent does not say",
                    hint: "stillpoint thaw \(guest.name) --foreign")
            }
        }
        let expected = ours.first?.frozenMountpoints.count
        guard !isDryRun else { return ThawReport(domain: guest, would: ours.isEmpty ? .foreign : .ours) }
        // Without a connection of its own the thaw goes the ordinary way.
        try? await control.prepareRescue()
        let outcome = await Thaw(guest: control, time: time, interruption: interruption).untilProved()
        guard case .thawed(let count) = outcome else {
            throw Failure(
                .maybeFrozen, "\(guest.name) may still be frozen: no thaw was confirmed",
                hint: "as root in the guest, on its console:   echo j > /proc/sysrq-trigger")
        }
        for run in ours where known.holder == nil {
            let word = try? await control.disarm(run.run)
            // Some were: the others are where no path leads any more, and frozen still.
            if word == .some(nil), count > 0, count < run.frozenMountpoints.count { _ = await control.thawRest() }
            // What holds an application lets go by what lies in the guest, which `recover` has it do.
            if run.hooks.isEmpty { try? await control.tidy(run.run, .now) }
            // Who lets go, and what was done to the disks, is left to `recover`, which needs the entry.
            if run.touchesDisks || !run.hooks.isEmpty {
                try? await journal.record(.thawed, of: run.run, at: time.wall)
            } else {
                try? await journal.close(run.run, .undone, at: time.wall)
            }
        }
        return ThawReport(domain: guest, thawed: count, held: expected.map { $0 == count })
    }
}

public struct FreezeReport: Codable, Sendable {
    public var schema = "stillpoint.freeze/v1"
    public var domain: GuestIdentity
    public var mountpoints: [String]
    public var frozen: Int
    /// When the guest thaws by itself, by the host's clock.
    public var until: Timestamp
}

public struct ThawReport: Codable, Sendable {
    public var schema = "stillpoint.thaw/v1"
    public var domain: GuestIdentity
    /// The guest's count; nil when nothing was frozen and nothing was sent.
    public var thawed: Int?
    /// Whether the freeze had held until now; nil when it was not ours.
    public var held: Bool?
    /// With `--dry-run`: whose freeze a thaw would be sent for; nil when none would.
    public var would: Owner?

    public enum Owner: String, Codable, Sendable { case ours, foreign }
}
