// SPDX-License-Identifier: Apache-2.0

/// Ordered: each level includes the ones before it.
public enum VerificationLevel: String, Codable, Sendable, CaseIterable, Comparable {
    case chain, filesystem, application

    public static func < (one: VerificationLevel, other: VerificationLevel) -> Bool {
        let order = allCases
        return (order.firstIndex(of: one) ?? 0) < (order.firstIndex(of: other) ?? 0)
    }
}

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
    public var application = Check(.notChecked, "not asked for")
    /// What was started to find out.
    public var clone: CloneReport?

    /// The first thing that failed.
    public var failure: String? {
        [chain, filesystem, application].first { $0.result == .failed }?.detail
    }

    /// How the command ends when `level` was asked for: what could not be checked was not reached.
    public func status(asked level: VerificationLevel?) -> ExitStatus {
        if failure != nil { return .verificationFailed }
        guard missed(asked: level) != nil else { return .reached }
        return filesystem.result == .ok ? .filesystemOnly : .crashOnly
    }

    /// Why what was asked for could not be checked, if it could not. The chain always can.
    public func missed(asked level: VerificationLevel?) -> String? {
        let asked: Check? =
            switch level {
            case nil, .chain: nil
            case .filesystem: filesystem
            case .application: application
            }
        return asked.flatMap { $0.result == .ok ? nil : $0.detail }
    }

    public func text(_ ink: Ink = .plain) -> String {
        var page = Page(label: 12)
        let word = failure == nil ? "verified" : "failed"
        page.line(ink.bold("\(domain.name)   \(snapshot)   \(consistency.rawValue)-consistent, \(word)"))
        page.gap()
        page.rows("chain", ["\(chain.result.rawValue)   \(chain.detail)"])
        page.rows("filesystem", ["\(filesystem.result.rawValue)   \(filesystem.detail)"])
        if clone != nil { page.rows("application", ["\(application.result.rawValue)   \(application.detail)"]) }
        page.gap()
        var table = Table()
        for proof in filesystems {
            let frozen = proof.frozen.map { $0 ? "frozen" : "not frozen" } ?? "-"
            table.add([proof.place, proof.kind, frozen, proof.check.result.rawValue, proof.check.detail])
        }
        page.rows("images", table.rows)
        if let clone {
            page.gap()
            clone.write(on: &page)
        }
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

    /// - Parameters:
    ///   - level: nil for what the manifest claims and the images alone can tell.
    ///   - cloning: what starts the clone, for `application`.
    ///   - loss: why its images are not any more what they were.
    public func verify(
        _ manifest: RunReport, of guest: GuestIdentity, at level: VerificationLevel?, cloning: CloneRun? = nil,
        loss: String? = nil
    ) async throws(Failure) -> VerificationReport {
        let (member, snapshot) = try manifest.snapshot(of: guest)
        let claimed: VerificationLevel = manifest.verdict.consistency >= .filesystem ? .filesystem : .chain
        var report = VerificationReport(
            domain: guest, snapshot: snapshot.name, run: manifest.run, consistency: manifest.verdict.consistency,
            chain: snapshot.kind == .inside ? await inside(snapshot) : await wholeChain(of: snapshot.disks),
            filesystem: Check(.notChecked, "not asked for, and the snapshot does not claim it"), filesystems: [])
        if let loss { report.chain = Check(.failed, loss) }
        guard (level ?? claimed) != .chain else { return report }
        if snapshot.kind == .inside {
            report.filesystem = Check(.notChecked, "it lies inside the images, and is not read from there")
            report.application = report.filesystem
            return report
        }
        report.filesystems = await verifier.check(snapshot.disks, thoroughly: true)
        report.filesystem = Self.sum(report.filesystems, expectFrozen: Set(snapshot.disks.map(\.target.description)))
        guard level == .application, let cloning, let run = RunID(manifest.run) else { return report }
        guard report.chain.result != .failed else {
            report.application = Check(.notChecked, "no clone was started, because the chain is not as it should be")
            return report
        }
        let (check, clone) = try await cloning.execute(snapshot, member.applications, of: run)
        (report.application, report.clone) = (check, clone)
        return report
    }
}

extension RunReport {
    /// One guest's part in it, and the snapshot.
    public func snapshot(
        of guest: GuestIdentity
    ) throws(Failure) -> (member: MemberReport, snapshot: MemberReport.Snapshot) {
        guard let member = members.first(where: { $0.domain.uuid == guest.uuid }), let snapshot = member.snapshot else {
            throw Failure(.noSuchThing, "the manifest of \(run) holds no snapshot of \(guest.name)")
        }
        return (member, snapshot)
    }
}
