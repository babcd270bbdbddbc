// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Synchronization

/// A guest's power, definition and libvirt's memory of its snapshots, over the same host as the other fakes.
final class ScriptedLife: GuestLife {
    private struct State {
        var power: GuestFacts.Power
        var registered: [RegisteredSnapshot] = []
        /// How often it is asked before it is off.
        var shutsDownAfter: Int? = 1
    }
    private let log: Log
    private let host: Host
    private let state: Mutex<State>

    init(_ facts: GuestFacts, log: Log, host: Host) {
        self.log = log
        self.host = host
        state = Mutex(State(power: facts.power))
    }

    func know(_ snapshots: [RegisteredSnapshot]) { state.withLock { $0.registered = snapshots } }
    func neverShutDown() { state.withLock { $0.shutsDownAfter = nil } }

    func power() async throws(Failure) -> GuestFacts.Power {
        state.withLock { state in
            if case .other = state.power, let left = state.shutsDownAfter {
                if left == 0 { state.power = .shutOff } else { state.shutsDownAfter = left - 1 }
            }
            return state.power
        }
    }

    func hasManagedSave() async throws(Failure) -> Bool { false }

    func askToShutDown() async throws(Failure) {
        try log.answer(.askedToShutDown)
        state.withLock { $0.power = .other("shutting down") }
    }

    func powerOff() async throws(Failure) {
        try log.answer(.poweredOff)
        state.withLock { $0.power = .shutOff }
    }

    func start(paused: Bool, resettingNVRAM: Bool) async throws(Failure) {
        try log.answer(.started, paused ? "paused" : "running")
        state.withLock { $0.power = paused ? .paused("by a user") : .running }
    }

    func resume(from file: String, naming images: [DiskTarget: ImageLayer], paused: Bool) async throws(Failure) {
        try log.answer(.resumed, "\(file) \(paused ? "paused" : "running")")
        state.withLock { $0.power = paused ? .paused("by a user") : .running }
    }

    func define(_ definition: String, with images: [DiskTarget: ImageLayer]) async throws(Failure) {
        let words = images.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.path)" }
        try log.answer(.defined, words.isEmpty ? "as before" : words.joined(separator: ", "))
        host.define(images)
    }

    func users(of images: Set<String>) async throws(Failure) -> (users: [String: Set<String>], raw: Set<String>) {
        ([:], [])
    }
    func registeredSnapshots() async throws(Failure) -> [RegisteredSnapshot] { state.withLock { $0.registered } }

    func restore(
        _ snapshot: RegisteredSnapshot, replacing images: [String: ImageLayer], asCurrent: Bool
    ) async throws(Failure) {
        try log.answer(.restored, snapshot.name + (asCurrent ? " as current" : ""))
    }

    func forget(_ name: String) async throws(Failure) {
        try log.answer(.forgotten, name)
        host.unregister(name)
    }
}

/// Images and what they lie on, by the host's chains and by what was staged.
struct ScriptedLayers: LayerStore {
    let log: Log
    let host: Host
    var free: Int64 = 1 << 40

    func chain(of image: ImageLayer) async throws(Failure) -> [ImageLayer] {
        guard let chain = host.chain(of: image.path) else { throw Failure(.refused, "\(image.path) is not there") }
        return chain
    }

    func imagesLying(
        on images: Set<String>, apartFrom raw: Set<String>
    ) async throws(Failure) -> [String: Set<String>] { [:] }
    func open(among images: [String]) async throws(Failure) -> [String] { [] }
    func virtualSize(of image: ImageLayer) async throws(Failure) -> Int64 { 40 << 30 }
    func allocatedBytes(of image: String) async -> Int64? { 1 << 30 }
    func freeBytes(in folder: String) async -> Int64? { free }

    func merge(
        _ top: ImageLayer, into base: ImageLayer, options: MergeOptions, progress: @escaping @Sendable (Double) -> Void
    ) async throws(Failure) {
        progress(0.5)
        try log.answer(.mergedIdle, "\(top.path) into \(base.path)")
    }

    func rest(_ image: ImageLayer, on base: ImageLayer) async throws(Failure) {
        try log.answer(.rested, "\(image.path) on \(base.path)")
    }
}

final class ScriptedBranches: BranchCatalogue {
    private let log: Log
    private let kept = Mutex<[Branch]>([])
    /// Those of snapshots and branches, by their runs.
    let variables = Mutex<[RunID: [UInt8]]>([:])

    init(log: Log) { self.log = log }

    func variables(of run: RunID) async throws(Failure) -> [UInt8]? { variables.withLock { $0[run] } }

    func keep(_ branch: Branch, definition: String, variables now: [UInt8]?) async throws(Failure) {
        try log.answer(.branchKept, branch.leaves.map(\.image.path).joined(separator: " "))
        variables.withLock { $0[branch.run] = now }
        kept.withLock { $0.append(branch) }
    }

    func branches(of guest: GuestIdentity) async throws(Failure) -> [Branch] { kept.withLock { $0 } }
    func change(_ branch: Branch) async throws(Failure) { try log.answer(.branchChanged) }

    func drop(_ branch: RunID) async throws(Failure) {
        try log.answer(.branchDropped)
        kept.withLock { $0.removeAll { $0.run == branch } }
    }

    func move(_ disks: [MemberReport.Disk], of run: RunID, _ guest: GuestIdentity) async throws(Failure) {
        try log.answer(.moved, disks.map { "\($0.overlay) on \($0.frozenImage)" }.joined(separator: " "))
    }
}
