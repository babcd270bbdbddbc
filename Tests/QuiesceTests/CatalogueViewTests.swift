// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

/// A catalogue of two snapshots, the manifest of the first damaged.
private struct DamagedCatalogue: Catalogue {
    let runs: [RunID]
    let guest: GuestIdentity
    let report: RunReport

    func entries(of guest: GuestIdentity?) async throws(Failure) -> [CatalogueEntry] {
        runs.enumerated().map { index, run in
            CatalogueEntry(
                run: run, guest: self.guest, name: "s\(index)", createdAt: Sample.start, consistency: .filesystem,
                fate: .kept)
        }
    }

    func manifest(of run: RunID) async throws(Failure) -> RunReport {
        guard run != runs.first else { throw Failure(.internalError, "cannot read the manifest of run \(run)") }
        return report
    }

    func add(_ report: RunReport, definition: String, artifacts: [HookReply.Artifact]) async throws(Failure) {}
    func mark(_ run: RunID, _ fate: CatalogueEntry.Fate) async throws(Failure) {}
    func uses(of guest: GuestIdentity?) async throws(Failure) -> [SnapshotUse] { [] }
}

@Suite("The catalogue as a list sees it")
struct CatalogueViewTests {
    @Test("a manifest that cannot be read hides no other snapshot, and is told; whoever changes something is refused")
    func damaged() async throws {
        let world = try World()
        let report = try await world.run()
        let guest = world.facts.guest
        let runs = try [RunID.random(), #require(RunID(report.run))]
        let damaged = DamagedCatalogue(runs: runs, guest: guest, report: report)
        func lineage(by catalogue: any Catalogue) async throws(Failure) -> Lineage {
            try await LineageReader(
                life: ScriptedLife(world.facts, log: world.log, host: world.host),
                layers: ScriptedLayers(log: world.log, host: world.host), catalogue: catalogue, branches: world.branches
            ).read(guest, world.host.disks, isActive: true)
        }
        let view = CatalogueView(of: damaged)
        let list = ListReport(try await lineage(by: view), allocated: [:], unread: view.unread)
        #expect(list.snapshots.map(\.name) == ["s0", "s1"])
        #expect(list.snapshots.map(\.standing) == [.unknown, .current])
        #expect(list.snapshots.map { $0.problem?.code } == [70, nil])
        #expect(list.problems.map(\.message) == ["cannot read the manifest of run \(runs[0])"])
        let lines = list.text().split(separator: "\n")
        #expect(lines.filter { $0.contains("unreadable") }.count == 1 && lines[1].contains("unreadable"))
        await #expect(throws: Failure.self) { try await lineage(by: damaged) }
    }
}
