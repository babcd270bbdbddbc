// SPDX-License-Identifier: Apache-2.0

import Quiesce

struct ScriptedHypervisor: Hypervisor {
    enum Cut: Sendable {
        case works
        case failsInPlace(Failure)
        case failsAfterMoving(Failure)
        /// QEMU has switched, the definitions have not.
        case failsHalfway(Failure)
        case failsAfterMovingOne(Failure)
        /// Past every deadline; works once the thaw has been sent.
        case hangs
    }

    let log: Log
    let time: ScriptedTime
    let host: Host
    var facts: GuestFacts
    var cutting = Cut.works
    /// How many disks a merge switches back before it fails; nil for one that works.
    var mergeStopsAfter: Int?
    var cutTakes = Duration.milliseconds(40)
    /// How a guest goes off that is asked to.
    var stopping = StopReason.shutdown
    /// It is still going down while it is looked at so many times.
    var offAfterLooks: Int?
    /// What a look at the disks shows instead of the truth.
    var seeing: @Sendable ([DiskFacts]) -> [DiskFacts] = { $0 }

    func observe(alsoFolders folders: [String], probing hooks: [HookChoice]) async throws(Failure) -> GuestFacts {
        try log.answer(.observe)
        return standing
    }

    func look(for images: [String]) async throws(Failure) -> GuestFacts {
        try log.answer(.look)
        return standing
    }

    private var standing: GuestFacts {
        var facts = facts
        facts.disks = seeing(host.disks)
        facts.snapshots = host.registered
        if let offAfterLooks, log.count(.look) > offAfterLooks { facts.power = .shutOff }
        return facts
    }

    func disks() async throws(Failure) -> [DiskFacts] {
        try log.answer(.disks)
        return seeing(host.disks)
    }

    func cut(_ disks: [MemberPlan.Disk], leaving others: [DiskTarget], named name: SnapshotName) async throws(Failure) {
        log.hear(.cut, disks.map(\.target.description).joined(separator: " "))
        time.advance(by: cutTakes)
        switch cutting {
        case .works:
            host.move(disks)
        case .failsInPlace(let failure):
            throw failure
        case .failsAfterMoving(let failure):
            host.move(disks)
            throw failure
        case .failsHalfway(let failure):
            host.move(disks, definitionsFollow: false)
            throw failure
        case .failsAfterMovingOne(let failure):
            host.move(Array(disks.prefix(1)))
            throw failure
        case .hangs:
            time.advance(by: .seconds(60))
            await log.wait(for: .thaw)
            host.move(disks)
        }
    }

    func cut(
        _ order: CutOrder, withMemoryIn file: String, interruption: Interruption,
        progress: @escaping @Sendable (MemoryProgress) -> Void
    ) async throws(Failure) {
        try log.answer(.cutWithMemory, file)
        progress(MemoryProgress(done: 1, total: 2))
        if let asked = interruption.status { throw Failure(asked, "interrupted while the memory was saved") }
        host.move(order.disks)
        if order.registers { host.register(order.name.description) }
    }

    func cutInside(_ order: CutOrder) async throws(Failure) {
        try log.answer(.cutInside, order.disks.map(\.target.description).joined(separator: " "))
        host.register(order.name.description)
    }

    func removeInside(_ name: SnapshotName) async throws(Failure) {
        try log.answer(.removeInside, name.description)
        host.unregister(name.description)
    }

    func shutDown(within limit: Duration, interruption: Interruption) async throws(Failure) -> StopReason {
        try log.answer(.shutDown, limit.forPeople)
        host.turn(on: false)
        return stopping
    }

    func start() async throws(Failure) {
        try log.answer(.start)
        host.turn(on: true)
    }

    func point(_ moves: [Repointing]) async throws(Failure) {
        try log.answer(.point, moves.map { "\($0.target) to \($0.to.path)" }.joined(separator: ", "))
        host.point(moves)
    }

    func restore(_ definition: String, from images: [String]) async throws(Failure) {
        try log.answer(.restore, images.joined(separator: " "))
        host.restore(facts.disks)
    }

    func definition() async throws(Failure) -> String {
        try log.answer(.definition)
        return "<domain/>"
    }

    func definition(naming images: [DiskTarget: ImageLayer]) async throws(Failure) -> String {
        try log.answer(.definition, images.values.map(\.path).sorted().joined(separator: " "))
        return "<domain/>"
    }

    func define(naming images: [DiskTarget: ImageLayer]) async throws(Failure) {
        try log.answer(.define, images.values.map(\.path).sorted().joined(separator: " "))
        host.save(images)
    }

    func saveAgain() async throws(Failure) { try log.refusal(of: .saved) }

    func register(_ registration: Registration) async throws(Failure) {
        try log.answer(.register, registration.name.description)
        host.register(registration.name.description)
    }

    func unregister(_ name: SnapshotName) async throws(Failure) {
        try log.answer(.unregister, name.description)
        host.unregister(name.description)
    }

    func merge(_ disks: [Merge], options: MergeOptions, progress: @escaping @Sendable (MergeProgress) -> Void)
        async throws(Failure)
    {
        try log.answer(.merge, disks.map { "\($0.top) into \($0.base)" }.joined(separator: ", "))
        host.merge(Array(disks.prefix(mergeStopsAfter ?? disks.count)))
        if mergeStopsAfter != nil { throw Failure(.internalError, "job cancelled") }
    }
}
