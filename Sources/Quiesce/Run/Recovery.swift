// SPDX-License-Identifier: Apache-2.0

/// Brings what interrupted runs left of one guest to safety. It looks at the world and never replays: a second one finds
/// nothing to do. The caller holds the guest's lock, so none of these runs can still be alive.
public struct Recovery: Sendable {
    /// The doors it goes through.
    public struct Ports: Sendable {
        let hypervisor: any Hypervisor
        /// Inside the guest, on behalf of that run.
        let control: @Sendable (RunID) -> any GuestControl
        let images: any ImageStore
        let verifier: any ImageVerifier
        let journal: any Journal
        let catalogue: any Catalogue
        /// The merge of layers that may have been done in part.
        let mergeAgain: @Sendable ([CommitRun.LayerGroup]) async throws(Failure) -> Void
        let hooks: @Sendable () throws(Failure) -> [Hook]
        /// What a run's guardian left written.
        let guardian: @Sendable (RunID) -> String?
        /// Of a run that came to nothing its guardian's word goes as well, and what it had begun to write down.
        let forgetPapers: @Sendable (RunID) -> Void
        let time: any Time

        public init(
            hypervisor: any Hypervisor, control: @escaping @Sendable (RunID) -> any GuestControl,
            images: any ImageStore, verifier: any ImageVerifier, journal: any Journal, catalogue: any Catalogue,
            mergeAgain: @escaping @Sendable ([CommitRun.LayerGroup]) async throws(Failure) -> Void,
            hooks: @escaping @Sendable () throws(Failure) -> [Hook],
            guardian: @escaping @Sendable (RunID) -> String?, forgetPapers: @escaping @Sendable (RunID) -> Void,
            time: any Time
        ) {
            self.hypervisor = hypervisor
            self.control = control
            self.images = images
            self.verifier = verifier
            self.journal = journal
            self.catalogue = catalogue
            self.mergeAgain = mergeAgain
            self.hooks = hooks
            self.guardian = guardian
            self.forgetPapers = forgetPapers
            self.time = time
        }
    }

    let guest: GuestIdentity
    let ports: Ports
    let interruption: Interruption
    /// Says what it would do, and does none of it.
    let isDryRun: Bool
    let tell: @Sendable (RunEvent) -> Void

    public init(
        of guest: GuestIdentity, through ports: Ports, interruption: Interruption, isDryRun: Bool = false,
        telling listener: @escaping @Sendable (RunEvent) -> Void
    ) {
        self.guest = guest
        self.ports = ports
        self.interruption = interruption
        self.isDryRun = isDryRun
        tell = listener
    }

    /// Everything: the guest first, then its disks, each run by itself. Never throws: what could not be done is in the
    /// report, and its run stays open.
    ///
    /// - Parameter repairs: the saved definition is made to name what QEMU writes to, where they disagree.
    public func execute(repairs: Bool) async -> RecoverReport.Guest {
        var report = RecoverReport.Guest(domain: guest)
        do throws(Failure) {
            let runs = try await ports.journal.unfinished(of: guest)
            var open: [UnfinishedRun] = []
            for run in runs {
                var account = RecoverReport.Run(run)
                if await makeSafe(run, &account) { open.append(run) }
                report.runs.append(account)
            }
            try await repair(repairs, &report)
            for run in open {
                guard let index = report.runs.firstIndex(where: { $0.run == run.run.description }) else { continue }
                await settle(run, &report.runs[index])
            }
        } catch {
            report.failure = Cause(error)
        }
        return report
    }

    /// What happens by itself at the start of other commands: thaw, release, disarm. Refuses to go on where more is to be
    /// done.
    public func makeWay() async throws(Failure) {
        var unsettled: UnfinishedRun?
        let kept = Set(try await ports.catalogue.entries(of: guest).map(\.run))
        for run in try await ports.journal.unfinished(of: guest) {
            var account = RecoverReport.Run(run)
            let isSafe = await makeSafe(run, &account)
            for line in account.did { tell(.note("\(run.name): \(line.text)")) }
            if let failure = account.failure { throw failure.asFailure }
            guard isSafe else { continue }
            if run.touchesDisks, !(kept.contains(run.run) && run.hasOnlyToBeClosed) {
                unsettled = unsettled ?? run
            } else {
                await close(run, run.touchesDisks ? .done : .undone, &account)
            }
        }
        guard let unsettled else { return }
        throw Failure(
            .busy,
            "\(guest.name): an earlier run (\(unsettled.name), \(unsettled.startedAt.local)) did not come to its end",
            hint: "stillpoint recover \(guest.name)")
    }

    /// Does it, or says that it would.
    func act(
        _ step: RecoverReport.Step, _ detail: String, _ account: inout RecoverReport.Run,
        _ body: () async throws(Failure) -> Void
    ) async throws(Failure) {
        if !isDryRun { try await body() }
        account.did.append(.init(step: step, detail: detail, isPlanned: isDryRun))
    }

    func close(_ run: UnfinishedRun, _ ending: JournalEnding, _ account: inout RecoverReport.Run) async {
        account.outcome = RecoverReport.Outcome(ending)
        guard !isDryRun else { return }
        do throws(Failure) {
            try await ports.journal.close(run.run, ending, at: ports.time.wall)
            if ending == .undone { ports.forgetPapers(run.run) }
        } catch {
            account.fail(error)
        }
    }
}
