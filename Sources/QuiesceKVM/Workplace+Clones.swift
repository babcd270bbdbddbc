// SPDX-License-Identifier: Apache-2.0

import Libvirt
public import Quiesce

extension OpenGuest {
    /// - Parameter scratch: absolute path of the folder for the clone's overlays.
    public func clones(in scratch: String) throws(Failure) -> any CloneHost {
        LibvirtCloneHost(
            guest: guest, identity: identity, state: workplace.state, ledger: workplace.ledger,
            images: try QemuImages(),
            time: workplace.time, scratch: scratch)
    }

    /// Writes down what a verification came to.
    public func keep(_ record: VerificationRecord, of run: String) async throws(Failure) {
        guard let run = RunID(run) else { return }
        try await workplace.ledger.add(record, of: run, identity)
    }
}

extension Workplace {
    /// What became of each verification of a snapshot, oldest first.
    public func verifications(of guest: GuestIdentity, _ run: String) async throws(Failure) -> [VerificationRecord] {
        guard let run = RunID(run) else { return [] }
        return try await ledger.verifications(of: run, guest)
    }
}

extension Workplace {
    /// The snapshots that are kept and were not found good at that level, or a higher one, within that time.
    public func unverified(
        at level: VerificationLevel?, for age: Duration
    ) async throws(Failure) -> (entries: [CatalogueEntry], rest: Int) {
        var (due, rest) = ([CatalogueEntry](), 0)
        for entry in try await ledger.entries(of: nil)
        where [.kept, .merging].contains(entry.fate) && entry.guest.uri == uri.description {
            let asked = level ?? (entry.consistency >= .filesystem ? .filesystem : .chain)
            let last = try await ledger.verifications(of: entry.run, entry.guest).last {
                $0.level >= asked && $0.result == .ok
            }
            if let last, time.wall.milliseconds - last.at.milliseconds < age.inMilliseconds {
                rest += 1
            } else {
                due.append(entry)
            }
        }
        return (due, rest)
    }
}
