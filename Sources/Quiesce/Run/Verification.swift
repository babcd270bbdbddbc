// SPDX-License-Identifier: Apache-2.0

/// Holds a snapshot against what QEMU, libvirt and the images themselves say.
public struct Verification: Sendable {
    let hypervisor: any Hypervisor
    let images: any ImageStore
    let verifier: any ImageVerifier

    public init(hypervisor: any Hypervisor, images: any ImageStore, verifier: any ImageVerifier) {
        self.hypervisor = hypervisor
        self.images = images
        self.verifier = verifier
    }

    init(ports: RunPorts) {
        self.init(hypervisor: ports.hypervisor, images: ports.images, verifier: ports.verifier)
    }

    /// QEMU's graph, the running and the saved definition agree; each overlay lies on its frozen image; disks that were
    /// left out are where they were.
    func chain(_ plan: MemberPlan, named name: SnapshotName) async -> ChainState {
        do throws(Failure) {
            let now = try await hypervisor.disks()
            let before = Dictionary(plan.facts.disks.map { ($0.target, $0) }, uniquingKeysWith: { first, _ in first })
            let chosen = Dictionary(plan.disks.map { ($0.target, $0) }, uniquingKeysWith: { first, _ in first })
            if let quarrel = now.compactMap(\.disagreement).first { return .disagrees(quarrel) }
            if let lost = plan.disks.first(where: { disk in !now.contains { $0.target == disk.target } }) {
                return .wrong("the guest has no disk \(lost.target) any more")
            }
            for disk in now {
                let paths = disk.liveChain.map(\.path)
                guard let planned = chosen[disk.target], plan.method != .inside else {
                    guard paths == before[disk.target]?.liveChain.map(\.path) else {
                        return .wrong("\(disk.target) gets no overlay, but its chain changed")
                    }
                    if let planned = chosen[disk.target] {
                        try await images.check(MemberReport.Disk(planned), holds: name.description)
                    }
                    continue
                }
                guard paths == [planned.overlay] + planned.chain.map(\.path) else {
                    return .wrong("\(disk.target) does not stand on \(planned.base.path) as planned")
                }
                guard disk.virtualSizeBytes == planned.virtualSizeBytes else {
                    return .wrong("\(disk.target) changed its size with the cut")
                }
                try await images.check(planned)
            }
            return .right("\(plan.disks.count.of("disk")), \(Self.witnesses(now)) agree")
        } catch {
            return .wrong(error.message)
        }
    }

    /// The chain of a snapshot taken earlier: each of its frozen images still lies where the disk's chain has it.
    public func chain(of disks: [MemberReport.Disk]) async -> Check {
        do throws(Failure) {
            let now = try await hypervisor.disks()
            for disk in now {
                if let quarrel = disk.disagreement { return Check(.failed, quarrel) }
            }
            for disk in disks {
                guard let live = now.first(where: { $0.target == disk.target }) else {
                    return Check(.failed, "the guest has no disk \(disk.target) any more")
                }
                let paths = live.liveChain.map(\.path)
                // Whatever lies on it: after a revert that is another overlay than the cut's.
                guard paths.count > disk.chain.count, paths.suffix(disk.chain.count) == disk.chain.map(\.path)[...]
                else {
                    return Check(
                        .failed, "\(disk.target)'s chain no longer holds \(disk.frozenImage) below its newest layer")
                }
            }
            return Check(.ok, "\(disks.count.of("disk")), \(Self.witnesses(now)) agree")
        } catch {
            return Check(.failed, error.message)
        }
    }

    /// The same, and the images whole.
    func wholeChain(of disks: [MemberReport.Disk]) async -> Check {
        let check = await chain(of: disks)
        guard check.result == .ok else { return check }
        do throws(Failure) {
            for disk in disks { try await images.checkWhole(disk) }
            return Check(.ok, check.detail + ", the images are whole")
        } catch {
            return Check(.failed, error.message)
        }
    }

    private static func witnesses(_ disks: [DiskFacts]) -> String {
        disks.allSatisfy { $0.qemuChain == nil } ? "the definition and the images" : "QEMU and both definitions"
    }

    /// What the frozen images say of themselves, by their superblocks.
    func proofs(_ disks: [MemberReport.Disk]) async -> [FilesystemProof] {
        await verifier.check(disks, thoroughly: false)
    }

    /// - Parameter expectFrozen: disks with a filesystem that the run froze; only there does an unfrozen image disprove it.
    static func sum(_ proofs: [FilesystemProof], expectFrozen: Set<String>) -> Check {
        if let broken = proofs.first(where: { $0.check.result == .failed }) {
            return Check(.failed, "\(broken.place) (\(broken.kind)): \(broken.check.detail)")
        }
        let unfrozen = proofs.filter { $0.frozen == false && !expectFrozen.isDisjoint(with: $0.targets) }
        if let one = unfrozen.first {
            return Check(
                .failed, "\(one.place) (\(one.kind)) was not frozen when the cut was made: \(one.check.detail)")
        }
        // vfat and swap say nothing of the moment: they prove nothing, and are not missed.
        let telling = proofs.filter { !["vfat", "swap"].contains($0.kind) }
        let looked = telling.filter { $0.check.result == .ok }
        let blind = telling.filter { $0.check.result == .notChecked }
        let names = blind.map { "\($0.place) (\($0.kind)): \($0.check.detail)" }.joined(separator: "; ")
        if looked.isEmpty { return Check(.notChecked, names.isEmpty ? "no filesystem found that tells" : names) }
        let dirty = proofs.filter { $0.frozen == false }.count
        let replay = dirty == 0 ? "" : ", \(dirty) to be replayed from their journals"
        let clean = "\(looked.count)/\(looked.count + blind.count) clean\(replay)"
        return Check(.ok, blind.isEmpty ? clean : "\(clean), not checked: \(names)")
    }
}

/// What the chain check found; a disagreement forbids to touch any file.
enum ChainState {
    case notChecked(String)
    case right(String)
    case wrong(String)
    /// QEMU and libvirt tell different stories.
    case disagrees(String)

    var check: Check {
        switch self {
        case .notChecked(let detail): Check(.notChecked, detail)
        case .right(let detail): Check(.ok, detail)
        case .wrong(let detail), .disagrees(let detail): Check(.failed, detail)
        }
    }
}
