// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

/// Where libvirt forgot an overlay that the guest is on.
extension RecoveryTests {
    private func quarantined() async throws -> World {
        let world = try World()
        try await died(world, after: [staging(world), window(world), .windowClosed(cut: true, thawed: true)])
        world.host.move(world.plan.disks)
        world.host.save([try Sample.target("vda"): ImageLayer(path: "/srv/kvm/db01-root.qcow2", format: "qcow2")])
        return world
    }

    @Test("a saved definition that forgot an overlay is 25, and nothing is touched")
    func disagreement() async throws {
        let world = try await quarantined()
        let report = try await recover(world)
        #expect(report.exit == 25)
        #expect(report.cause?.hint?.contains("stillpoint recover db01 --repair") == true)
        #expect(world.log.count(.withdraw) == 0 && world.log.count(.define) == 0 && world.log.count(.remove) == 0)
        #expect(try await world.journal.unfinished().count == 1)
    }

    @Test("--repair makes it name the newest layer, and the run is then brought to its end")
    func repaired() async throws {
        let world = try await quarantined()
        let report = try await recover(world, repairs: true)
        #expect(report.exit == 0, "\(report.text())")
        #expect(world.log.details(of: .define) == [Sample.rootOverlay])
        #expect(world.host.disks.allSatisfy { $0.disagreement == nil })
        #expect(world.journal.manifests.count == 1)
        try await expectNothingLeftToDo(world)
    }

    @Test("a running definition that is wrong is told to be so even when the saved one is repaired")
    func halfRepaired() async throws {
        let world = try World()
        world.host.move(world.plan.disks, definitionsFollow: false)
        let report = try await recover(world, repairs: true)
        #expect(report.exit == 25)
        #expect(world.log.details(of: .define) == ["\(Sample.dataOverlay) \(Sample.rootOverlay)"])
        #expect(report.guests.first?.quarantine?.isRepaired == true)
        #expect(report.text().contains("power off") == false)
    }

    // MARK: dry, and by itself
}
