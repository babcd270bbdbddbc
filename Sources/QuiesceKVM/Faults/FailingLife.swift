// SPDX-License-Identifier: Apache-2.0

import Quiesce

// The ports of a snapshot's life, with failpoints as the others have.

extension GuestLife {
    var withFailpoints: any GuestLife {
        #if FAILPOINTS
        FailingLife(port: self)
        #else
        self
        #endif
    }
}

extension LayerStore {
    var withFailpoints: any LayerStore {
        #if FAILPOINTS
        FailingLayers(port: self)
        #else
        self
        #endif
    }
}

extension Ledger {
    var branchesWithFailpoints: any BranchCatalogue {
        #if FAILPOINTS
        FailingBranches(port: self)
        #else
        self
        #endif
    }
}

#if FAILPOINTS
private func broken(_ why: String) -> Failure { Failure(.internalError, why) }

private struct FailingLife: GuestLife {
    let port: any GuestLife

    func power() async throws(Failure) -> GuestFacts.Power {
        try await Failpoint.around("life.power", broken) { () async throws(Failure) in
            try await port.power()
        }
    }

    func hasManagedSave() async throws(Failure) -> Bool {
        try await Failpoint.around("life.hasManagedSave", broken) { () async throws(Failure) in
            try await port.hasManagedSave()
        }
    }

    func askToShutDown() async throws(Failure) {
        try await Failpoint.around("life.askToShutDown", broken) { () async throws(Failure) in
            try await port.askToShutDown()
        }
    }

    func powerOff() async throws(Failure) {
        try await Failpoint.around("life.powerOff", broken) { () async throws(Failure) in
            try await port.powerOff()
        }
    }

    func start(paused: Bool, resettingNVRAM: Bool) async throws(Failure) {
        try await Failpoint.around("life.start", broken) { () async throws(Failure) in
            try await port.start(paused: paused, resettingNVRAM: resettingNVRAM)
        }
    }

    func resume(from file: String, naming images: [DiskTarget: ImageLayer], paused: Bool) async throws(Failure) {
        try await Failpoint.around("life.resume", broken) { () async throws(Failure) in
            try await port.resume(from: file, naming: images, paused: paused)
        }
    }

    func define(_ definition: String, with images: [DiskTarget: ImageLayer]) async throws(Failure) {
        try await Failpoint.around("life.define", broken) { () async throws(Failure) in
            try await port.define(definition, with: images)
        }
    }

    func imagesOfOthers() async throws(Failure) -> [String: Set<String>] {
        try await Failpoint.around("life.imagesOfOthers", broken) { () async throws(Failure) in
            try await port.imagesOfOthers()
        }
    }

    func registeredSnapshots() async throws(Failure) -> [RegisteredSnapshot] {
        try await Failpoint.around("life.registeredSnapshots", broken) { () async throws(Failure) in
            try await port.registeredSnapshots()
        }
    }

    func restore(_ snapshot: RegisteredSnapshot, replacing images: [String: ImageLayer], asCurrent: Bool)
        async throws(Failure)
    {
        try await Failpoint.around("life.restore", broken) { () async throws(Failure) in
            try await port.restore(snapshot, replacing: images, asCurrent: asCurrent)
        }
    }

    func forget(_ name: String) async throws(Failure) {
        try await Failpoint.around("life.forget", broken) { () async throws(Failure) in
            try await port.forget(name)
        }
    }
}

private struct FailingLayers: LayerStore {
    let port: any LayerStore

    func chain(of image: ImageLayer) async throws(Failure) -> [ImageLayer] {
        try await Failpoint.around("layers.chain", broken) { () async throws(Failure) in
            try await port.chain(of: image)
        }
    }

    func imagesLying(on images: Set<String>) async throws(Failure) -> [String: Set<String>] {
        try await Failpoint.around("layers.imagesLying", broken) { () async throws(Failure) in
            try await port.imagesLying(on: images)
        }
    }

    func open(among images: [String]) async throws(Failure) -> [String] {
        try await Failpoint.around("layers.open", broken) { () async throws(Failure) in
            try await port.open(among: images)
        }
    }

    func virtualSize(of image: ImageLayer) async throws(Failure) -> Int64 {
        try await Failpoint.around("layers.virtualSize", broken) { () async throws(Failure) in
            try await port.virtualSize(of: image)
        }
    }

    func allocatedBytes(of image: String) async -> Int64? { await port.allocatedBytes(of: image) }

    func freeBytes(in folder: String) async -> Int64? { await port.freeBytes(in: folder) }

    func merge(_ top: ImageLayer, into base: ImageLayer) async throws(Failure) {
        try await Failpoint.around("layers.merge", broken) { () async throws(Failure) in
            try await port.merge(top, into: base)
        }
    }

    func rest(_ image: ImageLayer, on base: ImageLayer) async throws(Failure) {
        try await Failpoint.around("layers.rest", broken) { () async throws(Failure) in
            try await port.rest(image, on: base)
        }
    }
}

private struct FailingBranches: BranchCatalogue {
    let port: any BranchCatalogue

    func keep(_ branch: Branch, definition: String, variables: [UInt8]?) async throws(Failure) {
        try await Failpoint.around("branches.keep", broken) { () async throws(Failure) in
            try await port.keep(branch, definition: definition, variables: variables)
        }
    }

    func variables(of run: RunID) async throws(Failure) -> [UInt8]? {
        try await Failpoint.around("branches.variables", broken) { () async throws(Failure) in
            try await port.variables(of: run)
        }
    }

    func branches(of guest: GuestIdentity) async throws(Failure) -> [Branch] {
        try await Failpoint.around("branches.list", broken) { () async throws(Failure) in
            try await port.branches(of: guest)
        }
    }

    func change(_ branch: Branch) async throws(Failure) {
        try await Failpoint.around("branches.change", broken) { () async throws(Failure) in
            try await port.change(branch)
        }
    }

    func drop(_ branch: RunID) async throws(Failure) {
        try await Failpoint.around("branches.drop", broken) { () async throws(Failure) in
            try await port.drop(branch)
        }
    }

    func move(_ disks: [MemberReport.Disk], of run: RunID, _ guest: GuestIdentity) async throws(Failure) {
        try await Failpoint.around("branches.move", broken) { () async throws(Failure) in
            try await port.move(disks, of: run, guest)
        }
    }
}
#endif
