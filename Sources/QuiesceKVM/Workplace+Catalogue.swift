// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Libvirt
public import Quiesce

/// The catalogue, joined with what the guest says now.
extension Workplace {
    /// - Parameter name: nil for the current one, the newest that is kept.
    public func entry(of guest: GuestIdentity, _ name: String?) async throws(Failure) -> CatalogueEntry {
        let entries = try await ledger.entries(of: guest).sorted { $0.createdAt < $1.createdAt }
        let present = entries.filter(\.fate.isPresent)
        func isMeant(_ entry: CatalogueEntry) -> Bool {
            guard let name else { return entry.fate != .abandoned }
            return entry.name == name || name.utf8.count >= 8 && entry.run.description.hasPrefix(name)
        }
        // History where nothing else has the name.
        let found = present.last(where: isMeant) ?? (name == nil ? nil : entries.last(where: isMeant))
        guard let found else {
            throw Failure(
                .noSuchThing, "\(guest.name) has no snapshot\(name.map { " named \($0)" } ?? "") of ours",
                hint: "stillpoint list \(guest.name)")
        }
        return found
    }

    public func manifest(of guest: GuestIdentity, _ name: String?) async throws(Failure) -> RunReport {
        let entry = try await entry(of: guest, name)
        var report = try await ledger.manifest(of: entry.run)
        // A manifest has its times in UTC; people read them as the clock stood on this host.
        if let cut = report.cut?.at {
            report.cut?.at = Timestamp(milliseconds: cut.milliseconds, offset: entry.createdAt.offset)
        }
        return report
    }

    /// The bytes of what a hook gave for a snapshot (`postgresql-15-main-backup_label`).
    ///
    /// - Parameter forTerminal: what would move its cursor or hide something is escaped.
    public func artifact(
        _ artifact: String, of guest: GuestIdentity, _ name: String?, forTerminal: Bool = false
    ) async throws(Failure) -> [UInt8] {
        let entry = try await entry(of: guest, name)
        let members = try await ledger.manifest(of: entry.run).members
        let all = members.flatMap(\.applications).flatMap(\.artifacts)
        // It is a file's name, and the manifest is only a file too.
        guard let found = all.first(where: { $0.name == artifact }), !artifact.contains("/"), !artifact.hasPrefix(".")
        else {
            let names = all.map(\.name)
            throw Failure(
                .noSuchThing, "the snapshot \(entry.name) has no artifact \(artifact.printable(limit: 128))",
                hint: names.isEmpty ? nil : "it has \(names.joined(separator: " "))")
        }
        let bytes = try Manifest.artifact(found, of: entry.run, in: state)
        return forTerminal ? Array(String(decoding: bytes, as: UTF8.self).printableLines.utf8) : bytes
    }

    /// One guest's snapshots, or with nil those of every guest in the catalogue. What cannot be read hides nothing else.
    public func list(_ reference: String?) async throws(Failure) -> ListReport {
        if let reference { return try await list(guest(reference)) }
        var report = ListReport(snapshots: [])
        let entries = try await ledger.entries(of: nil).filter { entry in
            entry.fate.isPresent && entry.guest.uri == uri.description
        }
        for uuid in entries.map(\.guest.uuid).uniqued() {
            let own = entries.filter { $0.guest.uuid == uuid }
            let open: OpenGuest
            do throws(Failure) {
                open = try await guest(uuid)
            } catch {
                // A guest that is gone has left its snapshots behind: they are still listed.
                let problem = error.status == .noSuchThing ? nil : error
                report.snapshots += own.map { ListReport.Row($0, disks: 0, unread: problem) }
                continue
            }
            do throws(Failure) {
                let one = try await list(open)
                report.snapshots += one.snapshots
                report.abandoned += one.abandoned
                report.tips += one.tips
            } catch {
                report.snapshots += own.map { ListReport.Row($0, disks: 0, unread: error) }
            }
        }
        return report
    }

    private func list(_ open: OpenGuest) async throws(Failure) -> ListReport {
        let seen = CatalogueView(of: catalogue)
        let lineage = try await open.lineage(in: self, by: seen)
        var report = ListReport(lineage, allocated: open.allocated(Array(lineage.everyImage)), unread: seen.unread)
        let uses = try await ledger.uses(of: open.identity)
        for index in report.snapshots.indices {
            guard let run = report.snapshots[index].run.flatMap(RunID.init) else { continue }
            report.snapshots[index].verified = try await ledger.verifications(of: run, open.identity).last
            report.snapshots[index].uses = uses.filter { $0.run == run }.map(\.words)
        }
        return report
    }

    public func status(of guest: OpenGuest) async throws(Failure) -> StatusReport {
        let facts = try await guest.hypervisor.observe(alsoFolders: [], probing: [])
        let unfinished = try await ledger.unfinished(of: guest.identity)
        return StatusReport(
            facts, busy: try await guest.holder(), unfinished: unfinished,
            current: try? await entry(of: guest.identity, nil).name, jobs: try await guest.jobs())
    }
}

extension [String] {
    /// Each once, in its first place.
    func uniqued() -> [String] {
        var seen: Set<String> = []
        return filter { seen.insert($0).inserted }
    }
}

extension OpenGuest {
    /// Who holds the guest's lock, or says in its metadata that it is theirs.
    func holder() async throws(Failure) -> String? {
        if let holder = try GuestLock.holder(of: identity, in: lockFolder) { return holder }
        guard let owner = try await guest.owner(), !owner.isOver else { return nil }
        return owner.description
    }

    public func jobs() async throws(Failure) -> [StatusReport.Job] {
        let disks = try await hypervisor.disks().filter { $0.blockJob != nil }
        return try await guest.run("look at the block jobs of \(identity.name)") { domain throws(LibvirtError) in
            var jobs: [StatusReport.Job] = []
            for disk in disks {
                guard let job = try domain.blockJob(disk.target.description) else { continue }
                jobs.append(.init(target: disk.target, kind: "\(job.kind)", done: job.current, total: job.end))
            }
            return jobs
        }
    }

    public func cancel(_ jobs: [StatusReport.Job]) async throws(Failure) {
        try await guest.run("cancel the block jobs of \(identity.name)") { domain throws(LibvirtError) in
            for job in jobs { try domain.blockJobAbort(job.target.description) }
        }
    }

    /// What a thaw by hand has to know; waits for no lock.
    public func thawable() async throws(Failure) -> HandFreeze.Thawable {
        let power = try await LibvirtLife(guest: guest).power()
        guard power == .running else { return .init(power: power, isFrozen: nil, holder: nil) }
        // Neither who is at work nor what the agent believes stands between the operator and the thaw.
        let isFrozen = (try? await agent.freezeStatus()).map { $0 == .frozen }
        return .init(
            power: power, isFrozen: isFrozen, holder: (try? GuestLock.holder(of: identity, in: lockFolder)) ?? nil)
    }
}
