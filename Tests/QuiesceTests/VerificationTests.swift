// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("Verification")
struct VerificationTests {
    private func sum(_ proofs: FilesystemProof...) -> Check { Verification.sum(proofs, expectFrozen: ["vda", "vdb"]) }

    /// The chain check after a good cut, of disks that `change` has spoiled.
    private func chain(_ change: @escaping @Sendable (inout [DiskFacts]) -> Void = { _ in }) async throws -> Check {
        var world = try World(
            try Sample.facts(disks: [Sample.root(), Sample.data(), Sample.disk("vdc", "/srv/kvm/swap.qcow2")]))
        world.request.selection = .excluding(try Sample.targets("vdc"))
        world.host.move(world.plan.disks)
        world.hypervisor.seeing = { disks in
            var disks = disks
            change(&disks)
            return disks
        }
        let images = ScriptedImages(log: world.log, host: world.host)
        let verification = Verification(hypervisor: world.hypervisor, images: images, verifier: world.verifier)
        return await verification.chain(world.plan, named: world.request.name).check
    }

    @Test("a chain as planned is good")
    func goodChain() async throws {
        #expect(try await chain().result == .ok)
    }

    @Test("a chain that is not as planned fails and names the disk")
    func badChains() async throws {
        let spoilt: [(String, @Sendable (inout [DiskFacts]) -> Void)] = [
            ("vda", { $0[0].savedImage = "/srv/kvm/db01-root.qcow2" }),
            ("vda", { $0[0].qemuChain?.removeFirst() }),
            (
                "vdb",
                { disks in
                    disks[1].liveChain.removeFirst()
                    disks[1].qemuChain?.removeFirst()
                    disks[1].savedImage = "/srv/kvm/db01-data.qcow2"
                }
            ),
            ("vdb", { $0[1].virtualSizeBytes = 1 }),
            (
                "vdc",
                { disks in
                    let overlay = ImageLayer(path: "/srv/kvm/swap.nightly", format: "qcow2")
                    disks[2].liveChain.insert(overlay, at: 0)
                    disks[2].qemuChain?.insert(overlay, at: 0)
                    disks[2].savedImage = overlay.path
                }
            ),
        ]
        for (disk, change) in spoilt {
            let check = try await chain(change)
            #expect(check.result == .failed)
            #expect(check.detail.contains(disk))
        }
    }

    @Test("a chosen disk that is gone from the guest is no good chain")
    func missingDisk() async throws {
        #expect(try await chain { $0.remove(at: 0) }.result == .failed)
    }

    @Test("clean filesystems are counted")
    func clean() {
        #expect(sum(Sample.proof("vda1", frozen: true), Sample.proof("vdb", frozen: nil)) == Check(.ok, "2/2 clean"))
    }

    @Test("what could not be checked is said, and is never called clean")
    func blind() {
        let check = sum(Sample.proof("vda1", frozen: true), Sample.proof("vdb", frozen: nil, .notChecked, "xfs log"))
        #expect(check.result == .ok)
        #expect(check.detail == "1/2 clean, not checked: vdb (ext4): xfs log")
        #expect(sum(Sample.proof("vdb", frozen: nil, .notChecked, "xfs log")).result == .notChecked)
        #expect(sum() == Check(.notChecked, "no filesystem found that tells"))
        let mute = [Sample.proof("vda1", frozen: nil, kind: "vfat"), Sample.proof("vda3", frozen: nil, kind: "swap")]
        #expect(sum(mute[0], mute[1], Sample.proof("vda2", frozen: nil, .notChecked, "xfs log")).result == .notChecked)
        #expect(sum(mute[0], mute[1], Sample.proof("vda2", frozen: true)) == Check(.ok, "1/1 clean"))
    }

    @Test("one broken filesystem fails the whole, before anything else is said")
    func broken() {
        let check = sum(
            Sample.proof("vda1", frozen: false), Sample.proof("vdb", frozen: true, .failed, "bad superblock"))
        #expect(check == Check(.failed, "vdb (ext4): bad superblock"))
    }

    @Test("an image that was not frozen disproves a freeze, but only on a disk where one was expected")
    func unfrozen() {
        #expect(sum(Sample.proof("vda1", frozen: false)).result == .failed)
        #expect(sum(Sample.proof("vdc1", frozen: false)).result == .ok)
        #expect(Verification.sum([Sample.proof("vda1", frozen: false)], expectFrozen: []).result == .ok)
    }
}
