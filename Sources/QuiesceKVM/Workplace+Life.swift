// SPDX-License-Identifier: Apache-2.0

public import Quiesce

/// What happens to snapshots after they are taken.
extension OpenGuest {
    /// Merging layers of this guest into those below.
    public func merge(telling listener: @escaping @Sendable (RunEvent) -> Void) throws(Failure) -> CommitRun {
        CommitRun(identity, through: try lifePorts(), telling: listener)
    }

    public func lifePorts() throws(Failure) -> LifePorts {
        LifePorts(
            hypervisor: hypervisor, life: LibvirtLife(guest: guest).withFailpoints, images: try images(),
            layers: try QemuImages().withFailpoints, journal: workplace.journal, catalogue: workplace.catalogue,
            branches: workplace.ledger.branchesWithFailpoints, time: workplace.time)
    }

    /// For readers: without who else uses the images. On another host the images are out of sight, and what libvirt says
    /// of the guest's own chains is all there is.
    ///
    /// - Parameter catalogue: nil for the workplace's own.
    func lineage(in workplace: Workplace, by catalogue: (any Catalogue)? = nil) async throws(Failure) -> Lineage {
        let life = LibvirtLife(guest: guest)
        let layers: any LayerStore = workplace.uri.isRemote ? OutOfSight() : try QemuImages()
        return try await LineageReader(
            life: life, layers: layers, catalogue: catalogue ?? workplace.catalogue, branches: workplace.ledger
        ).read(identity, hypervisor.disks(), isActive: life.power() != .shutOff, withStrangers: false)
    }
}

extension Workplace {
    public func pruneRule() throws(Failure) -> PruneRule? { try settings().prune }
}

/// Images on another host.
private struct OutOfSight: LayerStore {
    private var failure: Failure { Failure(.refused, "the images are on another host") }

    func chain(of image: ImageLayer) async throws(Failure) -> [ImageLayer] { throw failure }
    func imagesLying(
        on images: Set<String>, apartFrom raw: Set<String>
    ) async throws(Failure) -> [String: Set<String>] { throw failure }
    func open(among images: [String]) async throws(Failure) -> [String] { throw failure }
    func virtualSize(of image: ImageLayer) async throws(Failure) -> Int64 { throw failure }
    func allocatedBytes(of image: String) async -> Int64? { nil }
    func freeBytes(in folder: String) async -> Int64? { nil }
    func merge(
        _ top: ImageLayer, into base: ImageLayer, options: MergeOptions, progress: @escaping @Sendable (Double) -> Void
    ) async throws(Failure) { throw failure }
    func rest(_ image: ImageLayer, on base: ImageLayer) async throws(Failure) { throw failure }
}
