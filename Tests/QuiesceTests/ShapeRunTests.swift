// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("Other shapes of a snapshot", .timeLimit(.minutes(1)))
struct ShapeRunTests {
    private static let memory = "/srv/kvm/db01.nightly.memory"

    private func withMemory(_ change: (inout GuestFacts) -> Void = { _ in }) throws -> World {
        var facts = try Sample.facts()
        facts.memoryBytes = 4 << 30
        change(&facts)
        var request = try Sample.request()
        (request.memoryFile, request.runsHooks) = (Self.memory, false)
        return try World(facts, request: request)
    }

    private func inside(_ change: (inout GuestFacts) -> Void = { _ in }) throws -> World {
        var facts = try Sample.facts()
        (facts.power, facts.agent, facts.stopReason) = (.shutOff, .unasked, .shutdown)
        for index in facts.disks.indices { facts.disks[index].qemuChain = nil }
        change(&facts)
        var request = try Sample.request()
        request.isInternal = true
        return try World(facts, request: request)
    }

    @Test("with memory: one cut by libvirt, no freeze, no agent; its disks alone are crash-consistent, as is asked for")
    func memory() async throws {
        let world = try withMemory()
        let report = try await world.run()
        #expect(
            world.log.heard == [
                .journalOpened, .staging, .definition, .stage, .reserve, .window, .cutWithMemory, .dismissed,
                .windowClosed, .seal, .disks, .headerCheck, .headerCheck, .imageCheck, .catalogue, .journalClosed,
            ])
        #expect(report.exit == 0 && report.required == .crash && report.verdict.consistency == .crash)
        #expect(report.members.first?.snapshot?.memory == .init(file: Self.memory, bytes: 1 << 30))
        #expect(world.host.registered == ["nightly"])
    }

    @Test("with memory that cannot be written: disks where they were, no file left")
    func memoryFails() async throws {
        let world = try withMemory()
        world.log.refuse(.cutWithMemory, Failure(.snapshotFailed, "no space"))
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.snapshotFailed.rawValue)
        #expect(world.host.overlays.isEmpty && world.host.harm.isEmpty)
        #expect(world.log.details(of: .remove) == [Self.memory])
    }

    @Test("with memory, interrupted: disks where they were, no file left", arguments: [Heard.reserve, .cutWithMemory])
    func memoryInterrupted(_ step: Heard) async throws {
        let world = try withMemory()
        world.interrupt(at: step)
        let report = try await world.run()
        #expect(report.exit == Quiesce.ExitStatus.interrupted.rawValue)
        #expect(world.host.overlays.isEmpty && world.host.harm.isEmpty)
    }

    @Test("memory wants its room, and a guest that has some")
    func memoryRoom() throws {
        #expect(
            try withMemory { $0.memoryBytes = 400 << 30 }.plan.findings.weight(of: "space.short") == .refuses(.refused))
        let off = try withMemory { $0.power = .shutOff }
        #expect(off.plan.findings.weight(of: "guest.shutOff") == .refuses(.refused))
    }

    @Test("a committed snapshot's memory goes with it: the disks have left its moment behind")
    func memoryCommitted() async throws {
        let world = try withMemory()
        #expect(try await world.run().exit == 0)
        let life = ScriptedLife(world.facts, log: world.log, host: world.host)
        let commit = CommitRun(world.facts.guest, through: world.life(life)) { _ in }
        let report = try await commit.execute(try await commit.plan(.init()), .init())
        #expect(report.removed.contains(Self.memory))
        #expect(world.host.overlays.isEmpty)
    }

    @Test("inside the images: no overlay is made, and each image is asked for it")
    func insideImages() async throws {
        let world = try inside()
        let report = try await world.run()
        #expect(
            world.log.heard == [
                .journalOpened, .staging, .definition, .stage, .window, .cutInside, .dismissed, .windowClosed, .disks,
                .insideCheck, .insideCheck, .imageCheck, .catalogue, .journalClosed,
            ])
        #expect(report.exit == 0 && report.verdict.consistency == .application)
        let snapshot = try #require(report.members.first?.snapshot)
        #expect(snapshot.kind == .inside && snapshot.disks.allSatisfy { $0.overlay == $0.frozenImage })
    }

    @Test("inside the images, missing what is required: it is taken out of them again")
    func insideTakenBack() async throws {
        var world = try inside { $0.stopReason = .crashed }
        world.request.required = .application
        #expect(try await world.run().exit == Quiesce.ExitStatus.requiredLevelMissed.rawValue)
        #expect(world.log.heard.suffix(4) == [.removeInside, .removing, .remove, .journalClosed])
        #expect(world.host.registered.isEmpty && world.log.count(.merge) == 0)
    }

    @Test("inside is refused for what is no qcow2 file, for a running guest, and for less than all disks")
    func insideRefused() throws {
        let raw = try inside { $0.disks[1].format = "raw" }.plan.findings
        #expect(raw["disk.notInside"]?.text.contains("vdb is raw") == true)
        let block = try inside { $0.disks[1].source = .block("/dev/vg/data") }.plan.findings
        #expect(block["disk.notInside"]?.text.contains("/dev/vg/data") == true)
        let network = try inside { $0.disks[1].source = .network("nbd") }.plan.findings
        #expect(network["disk.notInside"]?.text.contains("nbd") == true)
        var some = try inside()
        some.request.selection = .only(try Sample.targets("vda"))
        #expect(some.plan.findings["disk.notInside"]?.text.contains("vdb was to be left out") == true)
        #expect(try inside { $0.power = .running }.plan.findings.weight(of: "guest.running") == .refuses(.refused))
    }

    @Test("UEFI variables are kept with it, and a TPM is named as not included")
    func firmware() async throws {
        var facts = try Sample.facts()
        (facts.nvram, facts.hasTPM) = ("/var/lib/libvirt/qemu/nvram/db01_VARS.fd", true)
        let world = try World(facts)
        let report = try await world.run()
        let snapshot = try #require(report.members.first?.snapshot)
        #expect(snapshot.nvram?.file == "nvram.fd" && snapshot.nvram?.sha256 == "of 9 bytes")
        #expect(snapshot.notIncluded == ["tpm"])
        #expect(world.log.details(of: .artifact) == ["nvram.fd"])
        #expect(world.log.heard(.thaw, before: .contents))
        #expect(world.plan.findings["guest.tpm"] != nil)
    }

    @Test("UEFI variables that cannot be read are told, and the snapshot stays")
    func firmwareUnread() async throws {
        var facts = try Sample.facts()
        facts.nvram = "/var/lib/libvirt/qemu/nvram/db01_VARS.fd"
        let world = try World(facts)
        world.log.refuse(.contents, Failure(.notPermitted, "not for you"))
        let report = try await world.run()
        #expect(report.exit == 0 && report.members.first?.snapshot?.nvram == nil)
        #expect(report.verdict.reasons.contains { $0.contains("not for you") })
    }
}
