// SPDX-License-Identifier: Apache-2.0

/// The manifest of a snapshot whose run could not write it.
struct AdoptedRun {
    let run: UnfinishedRun
    let intent: RunIntent
    /// Those that are on their overlays.
    let disks: [MemberPlan.Disk]
    let guest: GuestIdentity
    let account: RecoverReport.Run

    /// Never above `filesystem`: that an application's lock held is known to the run alone, from its release.
    private var verdict: Verdict {
        var verdict = Verdict(consistency: .filesystem)
        if let end = run.windowEnd, end.cut, let proof = end.proof {
            verdict = proof.verdict
            if verdict.consistency == .application {
                verdict.lower(
                    to: .filesystem, because: "the run did not come to its end: what its applications proved is lost")
            }
        } else {
            verdict.lower(to: .crash, because: "the run ended inside the window: nothing proves that it was frozen")
        }
        if let word = account.deadManActed {
            verdict.lower(to: .crash, because: "the dead-man inside the guest thawed it (\(word))")
        }
        if disks.count < intent.disks.count {
            verdict.lower(
                to: .none, because: "only \(disks.count) of \(intent.disks.count) disks are on their overlays")
        }
        if !run.merges.isEmpty {
            verdict.lower(to: .none, because: "it was being merged back: the frozen images have been written to")
        }
        return verdict
    }

    func report(at time: Timestamp) -> RunReport {
        let verdict = verdict
        let reached = verdict.consistency
        let status: ExitStatus =
            reached >= intent.asked
            ? .reached : reached == .filesystem ? .filesystemOnly : reached == .crash ? .crashOnly : .verificationFailed
        return RunReport(
            schema: RunReport.schema, run: run.run.description, startedAt: run.startedAt, finishedAt: time,
            required: intent.asked, verdict: verdict, exit: status.rawValue,
            cut: run.windowEnd?.proof?.cutAt.map { .init(at: $0) }, versions: intent.versions,
            startedBy: intent.starter, members: [member])
    }

    private var member: MemberReport {
        let unchecked = Check(.notChecked, "not asked for")
        return MemberReport(
            domain: guest, deadMan: account.deadManActed == nil ? .absent : .armed,
            guardian: run.hasFrozen ? .armed : .absent,
            snapshot: .init(
                name: run.name, description: intent.note,
                disks: disks.map { disk in
                    .init(
                        target: disk.target, frozenImage: disk.base.path, chain: disk.chain, overlay: disk.overlay,
                        format: disk.base.format, virtualSizeBytes: disk.virtualSizeBytes)
                }, excluded: intent.leftOut.map { .init(target: $0.target, reason: $0.reason) }),
            freeze: run.windowEnd?.proof?.freeze, applications: [], phases: [],
            verification: .init(chain: unchecked, filesystem: unchecked, application: unchecked))
    }
}
