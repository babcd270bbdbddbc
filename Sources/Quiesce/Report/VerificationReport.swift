// SPDX-License-Identifier: Apache-2.0

public enum VerificationLevel: String, Codable, Sendable, CaseIterable { case chain, filesystem }

/// `verify`'s result: what the images and QEMU say of a snapshot, against what its manifest claims.
public struct VerificationReport: Codable, Sendable {
    public var schema = "stillpoint.verify/v1"
    public var domain: GuestIdentity
    public var snapshot: String
    public var run: String
    public var consistency: Consistency
    public var chain: Check
    public var filesystem: Check
    public var filesystems: [FilesystemProof]

    /// The first thing that failed.
    public var failure: String? {
        [chain, filesystem].first { $0.result == .failed }?.detail
    }

    public func text(_ ink: Ink = .plain) -> String {
        var page = Page(label: 12)
        let word = failure == nil ? "verified" : "failed"
        page.line(ink.bold("\(domain.name)   \(snapshot)   \(consistency.rawValue)-consistent, \(word)"))
        page.gap()
        page.rows("chain", ["\(chain.result.rawValue)   \(chain.detail)"])
        page.rows("filesystem", ["\(filesystem.result.rawValue)   \(filesystem.detail)"])
        page.gap()
        var table = Table()
        for proof in filesystems {
            let frozen = proof.frozen.map { $0 ? "frozen" : "not frozen" } ?? "-"
            table.add([proof.place, proof.kind, frozen, proof.check.result.rawValue, proof.check.detail])
        }
        page.rows("images", table.rows)
        return page.text
    }
}

extension Verification {
    /// Each image still holds the snapshot.
    private func inside(_ snapshot: MemberReport.Snapshot) async -> Check {
        do throws(Failure) {
            for disk in snapshot.disks { try await images.check(disk, holds: snapshot.name) }
            return Check(.ok, "\(snapshot.disks.count.of("image")) hold it")
        } catch {
            return Check(.failed, error.message)
        }
    }

    /// - Parameter level: nil for what the manifest claims.
    public func verify(
        _ manifest: RunReport, of guest: GuestIdentity, at level: VerificationLevel?
    ) async throws(Failure) -> VerificationReport {
        guard let member = manifest.members.first(where: { $0.domain.uuid == guest.uuid }),
            let snapshot = member.snapshot
        else { throw Failure(.noSuchThing, "the manifest of \(manifest.run) holds no snapshot of \(guest.name)") }
        let claimed: VerificationLevel = manifest.verdict.consistency >= .filesystem ? .filesystem : .chain
        var report = VerificationReport(
            domain: guest, snapshot: snapshot.name, run: manifest.run, consistency: manifest.verdict.consistency,
            chain: snapshot.kind == .inside ? await inside(snapshot) : await chain(of: snapshot.disks),
            filesystem: Check(.notChecked, "not asked for, and the snapshot does not claim it"), filesystems: [])
        guard (level ?? claimed) == .filesystem else { return report }
        if snapshot.kind == .inside {
            report.filesystem = Check(.notChecked, "it lies inside the images, and is not read from there")
            return report
        }
        report.filesystems = await verifier.check(snapshot.disks, thoroughly: true)
        report.filesystem = Self.sum(report.filesystems, expectFrozen: Set(snapshot.disks.map(\.target.description)))
        return report
    }
}
