// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Synchronization

/// The host as the fakes share it: which images QEMU uses, which overlays lie on disk, and what was broken.
final class Host: Sendable {
    private struct State {
        var disks: [DiskFacts]
        var overlays: Set<String> = []
        /// What images say of themselves that are in no disk's chain.
        var laid: [String: [ImageLayer]] = [:]
        var registered: [String] = []
        var harm: [String] = []
    }
    private let state: Mutex<State>

    init(_ facts: GuestFacts) { state = Mutex(State(disks: facts.disks, registered: facts.snapshots)) }

    var disks: [DiskFacts] { state.withLock { $0.disks } }
    var overlays: Set<String> { state.withLock { $0.overlays } }
    var registered: [String] { state.withLock { $0.registered } }
    /// Files removed while the guest wrote to them, merges on a guest in quarantine: must stay empty.
    var harm: [String] { state.withLock { $0.harm } }

    /// The saved definition, of a guest that is off.
    func define(_ images: [DiskTarget: ImageLayer]) {
        state.withLock { state in
            for index in state.disks.indices {
                let disk = state.disks[index]
                guard let image = images[disk.target], image.path != disk.liveChain.first?.path else { continue }
                if let path = disk.liveChain.first?.path { state.laid[path] = disk.liveChain }
                let below = disk.liveChain.firstIndex(of: image).map { Array(disk.liveChain[$0...]) }
                let chain = below ?? state.laid[image.path] ?? [image]
                (state.disks[index].liveChain, state.disks[index].qemuChain) = (chain, chain)
                state.disks[index].savedImage = image.path
            }
        }
    }

    func chain(of path: String) -> [ImageLayer]? {
        state.withLock { state in
            if let laid = state.laid[path] { return laid }
            for disk in state.disks {
                if let index = disk.liveChain.firstIndex(where: { $0.path == path }) {
                    return Array(disk.liveChain[index...])
                }
            }
            return nil
        }
    }

    func lay(_ disks: [MemberPlan.Disk]) {
        state.withLock { state in
            for disk in disks {
                state.laid[disk.overlay] = [ImageLayer(path: disk.overlay, format: "qcow2")] + disk.chain
            }
        }
    }

    func stage(_ paths: [String]) { state.withLock { $0.overlays.formUnion(paths) } }

    func remove(_ paths: [String]) {
        state.withLock { state in
            let used = Set(state.disks.flatMap { ($0.qemuChain ?? []) + $0.liveChain }.map(\.path))
            state.harm += paths.filter(used.contains).map { "\($0) was removed while in use" }
            state.overlays.subtract(paths)
        }
    }

    /// QEMU switches; libvirt's two definitions follow unless told otherwise.
    func move(_ planned: [MemberPlan.Disk], definitionsFollow: Bool = true) {
        change(planned) { disk, plan in
            let chain = [ImageLayer(path: plan.overlay, format: "qcow2")] + plan.chain
            disk.qemuChain = chain
            guard definitionsFollow else { return }
            disk.liveChain = chain
            disk.savedImage = plan.overlay
        }
    }

    /// QEMU is there, or it is not.
    func turn(on isOn: Bool) {
        state.withLock { state in
            for index in state.disks.indices {
                state.disks[index].qemuChain = isOn ? state.disks[index].liveChain : nil
            }
        }
    }

    /// The saved definition alone.
    func save(_ images: [DiskTarget: ImageLayer]) {
        state.withLock { state in
            for index in state.disks.indices {
                guard let image = images[state.disks[index].target] else { continue }
                state.disks[index].savedImage = image.path
            }
        }
    }

    func point(_ moves: [Repointing]) {
        state.withLock { state in
            for move in moves {
                guard let index = state.disks.firstIndex(where: { $0.target == move.target }) else { continue }
                if state.disks[index].qemuChain != nil { state.harm.append("\(move.target) moved while the guest ran") }
                state.disks[index].liveChain.insert(move.to, at: 0)
                state.disks[index].savedImage = move.to.path
            }
        }
    }

    func restore(_ disks: [DiskFacts]) {
        state.withLock { state in
            if state.disks.contains(where: { $0.qemuChain != nil }) {
                state.harm.append("restored while the guest ran")
            }
            state.disks = disks
        }
        turn(on: false)
    }

    func merge(_ merges: [Merge]) {
        state.withLock { state in
            if let quarrel = state.disks.compactMap(\.disagreement).first {
                state.harm.append("merged although \(quarrel)")
            }
            for merge in merges {
                guard let index = state.disks.firstIndex(where: { $0.target == merge.target }) else { continue }
                let chain = state.disks[index].liveChain
                guard let top = chain.firstIndex(where: { $0.path == merge.top }),
                    let base = chain.firstIndex(where: { $0.path == merge.base }), top < base
                else { continue }
                // The headers of what was merged say what they said.
                state.laid[merge.top] = Array(chain[top...])
                let left = Array(chain[..<top] + chain[base...])
                (state.disks[index].liveChain, state.disks[index].qemuChain) = (left, left)
                state.disks[index].savedImage = left.first?.path
            }
        }
    }

    func register(_ name: String) { state.withLock { $0.registered.append(name) } }
    func unregister(_ name: String) { state.withLock { $0.registered.removeAll { $0 == name } } }

    private func change(_ planned: [MemberPlan.Disk], _ body: @Sendable (inout DiskFacts, MemberPlan.Disk) -> Void) {
        state.withLock { state in
            for plan in planned {
                guard let index = state.disks.firstIndex(where: { $0.target == plan.target }) else { continue }
                body(&state.disks[index], plan)
            }
        }
    }
}
