// SPDX-License-Identifier: Apache-2.0

/// Decides the level of a cut that was made while the guest was off. What shut down cleanly has told its applications
/// first, and nothing of theirs is open any more; whether it did, the images themselves prove.
struct RestJudgement {
    let plan: MemberPlan
    /// How it went off for this cut; nil where it was off before.
    let stop: StopReason?
    let proofs: [FilesystemProof]

    var verdict: Verdict {
        var verdict = Verdict(consistency: .application)
        for finding in plan.findings {
            if case .limits(let level) = finding.weight { verdict.lower(to: level, because: finding.text) }
        }
        if let stop, stop != .shutdown {
            verdict.lower(to: .crash, because: "it did not shut down cleanly: \(stop.words)")
        }
        let proved = Set(proofs.flatMap(\.targets))
        for disk in plan.disks where !proved.contains(disk.target.description) {
            verdict.lower(to: .crash, because: "nothing on \(disk.target) proves that it is at rest")
        }
        for proof in proofs where !proof.isAtRest {
            verdict.lower(
                to: .crash, because: "\(proof.place) (\(proof.kind)) is not proved to be at rest: \(proof.check.detail)"
            )
        }
        return verdict
    }
}

extension FilesystemProof {
    /// Of these no image can tell, and nothing in them waits to be replayed. What is not known may be anything: NTFS, a
    /// database's own disk.
    private static let withoutJournal: Set = ["vfat", "swap", "empty", "bootcode", "iso9660", "squashfs"]

    /// Nothing in it waits for recovery: it was unmounted, or frozen.
    var isAtRest: Bool { frozen ?? Self.withoutJournal.contains(kind) }
}
