// SPDX-License-Identifier: Apache-2.0

import Libvirt
public import Quiesce

extension Workplace {
    /// Brings interrupted runs to safety: those of this guest, or of every guest of this hypervisor that has some.
    ///
    /// - Parameter listener: gives who hears of a guest's steps, by its name.
    public func recover(
        _ reference: String?, repairs: Bool, isDryRun: Bool, interruption: Interruption,
        telling listener: (String) -> @Sendable (RunEvent) -> Void
    ) async throws(Failure) -> RecoverReport {
        var guests: [RecoverReport.Guest] = []
        if let reference {
            let open = try await guest(reference)
            guests.append(await recover(open, repairs, isDryRun, interruption, listener))
        } else {
            for (identity, runs) in try await unfinishedHere() {
                let open: OpenGuest
                do throws(Failure) {
                    open = try await guest(identity.uuid)
                } catch {
                    guests.append(await leave(identity, runs, because: error, isDryRun))
                    continue
                }
                guests.append(await recover(open, repairs, isDryRun, interruption, listener))
            }
        }
        return RecoverReport(guests, clones: isDryRun ? [] : await sweepClones(), isDryRun: isDryRun)
    }

    /// A folder of theirs that cannot be removed now is no reason to fail: nothing stands on it.
    private func sweepClones() async -> [String] {
        let guests = (try? await ledger.clones(on: uri.description))?.map(\.guest.uuid).uniqued() ?? []
        for uuid in guests {
            guard let open = try? await guest(uuid) else { continue }
            return (try? await open.clones(in: "/").sweep()) ?? []
        }
        return []
    }

    private func recover(
        _ open: OpenGuest, _ repairs: Bool, _ isDryRun: Bool, _ interruption: Interruption,
        _ listener: (String) -> @Sendable (RunEvent) -> Void
    ) async -> RecoverReport.Guest {
        do throws(Failure) {
            let name = open.identity.name
            let recovery = try open.recovery(interruption, isDryRun: isDryRun, telling: listener(name))
            if isDryRun {
                if let holder = try await open.holder() {
                    throw Failure(.busy, "\(name) is busy: \(holder)", hint: "try again when that has ended")
                }
                return await recovery.execute(repairs: repairs)
            }
            return try await open.recovered(interruption) { () throws(Failure) in
                await recovery.execute(repairs: repairs)
            }
        } catch {
            return RecoverReport.Guest(domain: open.identity, failure: error)
        }
    }

    /// In the order of their oldest runs.
    private func unfinishedHere() async throws(Failure) -> [(GuestIdentity, [UnfinishedRun])] {
        let runs = try await ledger.unfinished().filter { $0.guest.uri == uri.description }
        var seen: Set<String> = []
        return runs.filter { seen.insert($0.guest.uuid).inserted }.map { first in
            (first.guest, runs.filter { $0.guest.uuid == first.guest.uuid })
        }
    }

    /// A guest that is gone has nothing frozen; its files are nobody's to judge, so they stay.
    private func leave(
        _ identity: GuestIdentity, _ runs: [UnfinishedRun], because failure: Failure, _ isDryRun: Bool
    ) async -> RecoverReport.Guest {
        guard failure.status == .noSuchThing else { return RecoverReport.Guest(domain: identity, failure: failure) }
        var report = RecoverReport.Guest(domain: identity)
        for run in runs {
            var account = RecoverReport.Run(gone: run)
            if !isDryRun {
                do throws(Failure) {
                    try await ledger.close(run.run, .failed, at: time.wall)
                } catch {
                    account.failure = Cause(error)
                }
            }
            report.runs.append(account)
        }
        return report
    }
}

extension OpenGuest {
    func recovery(
        _ interruption: Interruption, isDryRun: Bool, telling listener: @escaping @Sendable (RunEvent) -> Void
    ) throws(Failure) -> Recovery {
        let state = workplace.state
        let ports = Recovery.Ports(
            hypervisor: hypervisor, control: { control(for: $0) }, images: try images(), verifier: verifier,
            journal: workplace.journal, catalogue: workplace.catalogue,
            mergeAgain: { groups throws(Failure) in
                var request = CommitRun.Request(.delete)
                request.groups = groups
                request.options.interruption = interruption
                let merge = try merge(telling: listener)
                _ = try await merge.execute(try await merge.plan(request), request)
            },
            hooks: { () throws(Failure) in try HookCatalogue().hooks },
            guardian: { Manifest.guardWord(of: $0, in: state) },
            forgetPapers: { Manifest.forgetUnfinished(of: $0, in: state) }, time: workplace.time)
        return Recovery(
            of: identity, through: ports, interruption: interruption, isDryRun: isDryRun, telling: listener)
    }

    /// Waits for no run that is alive: that is `.busy`. The guardian of a run that is gone holds its lock until the guest
    /// is thawed, or a minute beyond its deadline: it sends the same thaw, and its end is awaited.
    func recovered<Value>(
        _ interruption: Interruption, _ body: () async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        var wait = Duration.zero
        if try GuestLock.holder(of: identity, in: lockFolder) != nil, try await guest.owner()?.isOver == true {
            // Its deadline is half a minute away at most, and its last call takes as long.
            wait = .seconds(150)
        }
        do throws(Failure) {
            return try await owned(for: "recover", by: .random(), waiting: wait, interruption: interruption) {
                _ throws(Failure) in try await body()
            }
        } catch {
            guard error.status == .busy, wait > .zero, try await guest.owner()?.isOver == true,
                try await ledger.unfinished(of: identity).contains(where: \.mayHaveFrozen)
            else { throw error }
            throw Failure(
                .maybeFrozen, "\(identity.name) may still be frozen: no thaw was confirmed (\(error.message))",
                hint: "stillpoint thaw \(identity.name)")
        }
    }
}
