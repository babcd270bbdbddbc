// SPDX-License-Identifier: Apache-2.0

import Quiesce

extension Hypervisor {
    var withFailpoints: any Hypervisor {
        #if FAILPOINTS
        FailingHypervisor(port: self)
        #else
        self
        #endif
    }
}

#if FAILPOINTS
private struct FailingHypervisor: Hypervisor {
    let port: any Hypervisor

    func observe(alsoFolders folders: [String], probing hooks: [HookChoice]) async throws(Failure) -> GuestFacts {
        try await Failpoint.around("hypervisor.observe", Failpoint.broken) { () async throws(Failure) in
            try await port.observe(alsoFolders: folders, probing: hooks)
        }
    }

    func look(for images: [String]) async throws(Failure) -> GuestFacts {
        try await Failpoint.around("hypervisor.look", Failpoint.broken) { () async throws(Failure) in
            try await port.look(for: images)
        }
    }

    func disks() async throws(Failure) -> [DiskFacts] {
        try await Failpoint.around("hypervisor.disks", Failpoint.broken) { () async throws(Failure) in
            try await port.disks()
        }
    }

    func cut(
        _ disks: [MemberPlan.Disk], leaving others: [DiskTarget], named name: SnapshotName
    ) async throws(Failure) {
        try await Failpoint.around("hypervisor.cut", Failpoint.broken) { () async throws(Failure) in
            try await port.cut(disks, leaving: others, named: name)
        }
    }

    func cut(
        _ order: CutOrder, withMemoryIn file: String, interruption: Interruption,
        progress: @escaping @Sendable (MemoryProgress) -> Void
    ) async throws(Failure) {
        try await Failpoint.around("hypervisor.cutWithMemory", Failpoint.broken) { () async throws(Failure) in
            try await port.cut(order, withMemoryIn: file, interruption: interruption, progress: progress)
        }
    }

    func cutInside(_ order: CutOrder) async throws(Failure) {
        try await Failpoint.around("hypervisor.cutInside", Failpoint.broken) { () async throws(Failure) in
            try await port.cutInside(order)
        }
    }

    func removeInside(_ name: SnapshotName) async throws(Failure) {
        try await Failpoint.around("hypervisor.removeInside", Failpoint.broken) { () async throws(Failure) in
            try await port.removeInside(name)
        }
    }

    func shutDown(within limit: Duration, interruption: Interruption) async throws(Failure) -> StopReason {
        try await Failpoint.around("hypervisor.shutDown", Failpoint.broken) { () async throws(Failure) in
            try await port.shutDown(within: limit, interruption: interruption)
        }
    }

    func start() async throws(Failure) {
        try await Failpoint.around("hypervisor.start", Failpoint.broken) { () async throws(Failure) in
            try await port.start()
        }
    }

    func point(_ moves: [Repointing]) async throws(Failure) {
        try await Failpoint.around("hypervisor.point", Failpoint.broken) { () async throws(Failure) in
            try await port.point(moves)
        }
    }

    func restore(_ definition: String, from images: [String]) async throws(Failure) {
        try await Failpoint.around("hypervisor.restore", Failpoint.broken) { () async throws(Failure) in
            try await port.restore(definition, from: images)
        }
    }

    func definition() async throws(Failure) -> String {
        try await Failpoint.around("hypervisor.definition", Failpoint.broken) { () async throws(Failure) in
            try await port.definition()
        }
    }

    func definition(naming images: [DiskTarget: ImageLayer]) async throws(Failure) -> String {
        try await Failpoint.around("hypervisor.definitionNaming", Failpoint.broken) { () async throws(Failure) in
            try await port.definition(naming: images)
        }
    }

    func define(naming images: [DiskTarget: ImageLayer]) async throws(Failure) {
        try await Failpoint.around("hypervisor.define", Failpoint.broken) { () async throws(Failure) in
            try await port.define(naming: images)
        }
    }

    func saveAgain() async throws(Failure) {
        try await Failpoint.around("hypervisor.saveAgain", Failpoint.broken) { () async throws(Failure) in
            try await port.saveAgain()
        }
    }

    func register(_ registration: Registration) async throws(Failure) {
        try await Failpoint.around("hypervisor.register", Failpoint.broken) { () async throws(Failure) in
            try await port.register(registration)
        }
    }

    func unregister(_ name: SnapshotName) async throws(Failure) {
        try await Failpoint.around("hypervisor.unregister", Failpoint.broken) { () async throws(Failure) in
            try await port.unregister(name)
        }
    }

    func merge(
        _ disks: [Merge], options: MergeOptions, progress: @escaping @Sendable (MergeProgress) -> Void
    ) async throws(Failure) {
        try await Failpoint.around("hypervisor.merge", Failpoint.broken) { () async throws(Failure) in
            try await port.merge(disks, options: options, progress: progress)
        }
    }
}
#endif
