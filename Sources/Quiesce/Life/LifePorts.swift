// SPDX-License-Identifier: Apache-2.0

/// The doors that what changes a snapshot's life goes through.
public struct LifePorts: Sendable {
    let hypervisor: any Hypervisor
    let life: any GuestLife
    let images: any ImageStore
    var layers: any LayerStore
    let journal: any Journal
    let catalogue: any Catalogue
    let branches: any BranchCatalogue
    let time: any Time

    public init(
        hypervisor: any Hypervisor, life: any GuestLife, images: any ImageStore, layers: any LayerStore,
        journal: any Journal, catalogue: any Catalogue, branches: any BranchCatalogue, time: any Time
    ) {
        self.hypervisor = hypervisor
        self.life = life
        self.images = images
        self.layers = layers
        self.journal = journal
        self.catalogue = catalogue
        self.branches = branches
        self.time = time
    }

    func lineage(_ facts: GuestFacts) async throws(Failure) -> Lineage {
        try await LineageReader(life: life, layers: layers, catalogue: catalogue, branches: branches).read(
            facts.guest, facts.disks, isActive: facts.power != .shutOff)
    }
}
