// SPDX-License-Identifier: Apache-2.0

import Libvirt
import Quiesce
import SystemPackage

/// libvirt's QEMU driver behind the product's port.
struct LibvirtHypervisor: Hypervisor {
    let guest: LibvirtGuest
    let agent: AgentObserver
    let version: String

    func observe(
        alsoFolders extra: [String], probing hooks: [HookChoice]
    ) async throws(Failure) -> GuestFacts {
        let look = try await guest.run("look at \(guest.domain.name)") { domain throws(LibvirtError) in
            try Look(domain, guest.connection)
        }
        let definition = try DomainDefinition(xml: look.live, volumes: look.volumes)
        var facts = try await facts(look, definition, sharing: [])
        let folders = Set(
            facts.disks.compactMap { $0.activeImage.map { FilePath($0.path).removingLastComponent().string } } + extra)
        facts.freeBytes = folders.reduce(into: [:]) { $0[$1] = try? QemuImages.freeBytes(in: $1) }
        if look.power == .running {
            facts.agent = await agent.observe(definition.agentChannel, facts.disks, probing: hooks)
        }
        return facts
    }

    func look(for images: [String]) async throws(Failure) -> GuestFacts {
        let look = try await guest.run("look at \(guest.domain.name)") { domain throws(LibvirtError) in
            try Look(domain, guest.connection)
        }
        return try await facts(look, DomainDefinition(xml: look.live, volumes: look.volumes), sharing: images)
    }

    private func facts(
        _ look: Look, _ definition: DomainDefinition, sharing images: [String]
    ) async throws(Failure) -> GuestFacts {
        let disks = try await self.disks(definition, look)
        let identity = GuestIdentity(name: guest.domain.name, uuid: guest.domain.uuid, uri: guest.uri)
        var facts = GuestFacts(
            guest: identity,
            versions: Versions(stillpoint: version, libvirt: look.libvirtVersion, qemu: look.qemuVersion),
            power: look.power, isPersistent: look.saved != nil, activeJob: look.job, checkpoints: look.checkpoints,
            relabelsWithAppArmor: definition.relabelsWithAppArmor, disks: disks, snapshots: look.snapshots,
            currentSnapshot: look.currentSnapshot,
            agent: .unasked,
            sharedImages: try look.sharedImages(
                of: identity.name, Set(images + disks.flatMap { $0.liveChain.map(\.path) })))
        (facts.stopReason, facts.hasManagedSave) = (look.stopReason, look.hasManagedSave)
        (facts.staysOff, facts.memoryBytes) = (definition.staysOff, definition.memoryBytes)
        (facts.nvram, facts.hasTPM) = (definition.nvram, definition.hasTPM)
        return facts
    }

    func disks() async throws(Failure) -> [DiskFacts] {
        let connection = guest.connection
        let look = try await guest.run("look at \(guest.domain.name)") { domain throws(LibvirtError) in
            try Look(disksOf: domain, connection)
        }
        return try await disks(DomainDefinition(xml: look.live, volumes: look.volumes), look)
    }

    private func disks(_ definition: DomainDefinition, _ look: Look) async throws(Failure) -> [DiskFacts] {
        let saved = try look.saved.map { xml throws(Failure) in
            try DomainDefinition(xml: xml, volumes: look.volumes)
        }
        let graph = try look.graph.map { reply throws(Failure) in try BlockGraph(reply: reply) }
        let savedImages = Dictionary(
            (saved?.disks ?? []).map { ($0.facts.target, $0.facts.activeImage?.path) },
            uniquingKeysWith: { first, _ in first })
        return definition.disks.map { disk in
            var facts = disk.facts
            facts.savedImage = savedImages[facts.target] ?? nil
            facts.blockJob = look.blockJobs[facts.target.description]
            if let known = disk.alias.flatMap({ graph?.disk(alias: $0) }) {
                facts.qemuChain = known.chain
                facts.virtualSizeBytes = known.virtualSizeBytes
            }
            if case .volume = facts.source, let path = facts.activeImage?.path, ImageLayer.isBlockDevice(path) {
                facts.source = .block(path)
            }
            if look.graph == nil, !isRemote { facts.readHeaders() }
            return facts
        }
    }

    private var isRemote: Bool { (try? HypervisorURI(guest.uri))?.isRemote ?? false }

    func cut(_ disks: [MemberPlan.Disk], leaving others: [DiskTarget], named name: SnapshotName) async throws(Failure) {
        let xml = SnapshotXML.cut(disks, leaving: others, named: name)
        do throws(LibvirtError) {
            _ = try await guest.call { domain throws(LibvirtError) in
                try domain.createSnapshot(xml: xml, [.diskOnly, .atomic, .reuseExternal, .noMetadata])
            }
        } catch {
            throw Failure(.snapshotFailed, "the snapshot of \(guest.domain.name) failed: \(error.description)")
        }
    }

    func definition() async throws(Failure) -> String {
        try await guest.run("read the definition of \(guest.domain.name)") { domain throws(LibvirtError) in
            try domain.xml(domain.isPersistent() ? [.inactive, .secure] : [.secure])
        }
    }

    func definition(naming images: [DiskTarget: ImageLayer]) async throws(Failure) -> String {
        try DomainDefinition.replacing(images, in: try await definition())
    }

    func define(naming images: [DiskTarget: ImageLayer]) async throws(Failure) {
        let xml = try await definition(naming: images)
        let connection = guest.connection
        _ = try await guest.run("save the definition of \(guest.domain.name)") { _ throws(LibvirtError) in
            try connection.define(xml: xml)
        }
    }

    func saveAgain() async throws(Failure) {
        let connection = guest.connection
        try await guest.run("have libvirt save the definition of \(guest.domain.name)") { domain throws(LibvirtError) in
            guard try domain.isPersistent() else { return }
            _ = try connection.define(xml: domain.xml([.inactive, .secure]))
        }
        try await guest.saveStatus()
    }

    func register(_ registration: Registration) async throws(Failure) {
        let xml = try SnapshotXML.redefinition(registration)
        let name = registration.name.description
        let isTaken = try await guest.run("register the snapshot \(name)") { domain throws(LibvirtError) in
            // libvirt replaces another snapshot of that name without a word (measured on 9.0), so it is looked for first.
            if try domain.snapshots().contains(where: { $0.name == name }) { return true }
            try domain.createSnapshot(xml: xml, [.redefine, .current])
            return false
        }
        if isTaken { throw Failure(.refused, "libvirt has got another snapshot named \(name) meanwhile") }
    }

    func unregister(_ name: SnapshotName) async throws(Failure) {
        try await guest.run("forget the snapshot \(name)") { domain throws(LibvirtError) in
            let found = try domain.snapshots().first { $0.name == name.description }
            try found?.deleteMetadata()
        }
    }
}

/// Everything libvirt is asked in one go, on the guest's lane.
struct Look: Sendable {
    let live: String
    let saved: String?
    /// QEMU's answer to `query-block`; nil when the guest does not run.
    let graph: String?
    let power: GuestFacts.Power
    let blockJobs: [String: String]
    /// Nil while it is not off.
    let stopReason: StopReason?
    private(set) var job: String?
    private(set) var checkpoints = 0
    private(set) var hasManagedSave = false
    /// Where the volumes of storage pools are that the definitions name.
    private(set) var volumes: [PoolVolume: String] = [:]
    private(set) var snapshots: [String] = []
    private(set) var currentSnapshot: String?
    private(set) var libvirtVersion = ""
    private(set) var qemuVersion = ""
    private var others: [(name: String, xml: [String])] = []

    /// The disks alone.
    init(disksOf domain: Domain, _ connection: Connection) throws(LibvirtError) {
        let (state, reason) = try domain.state()
        power = GuestFacts.Power(state, reason)
        stopReason = state == .shutoff ? StopReason(libvirt: reason) : nil
        live = try domain.xml()
        saved = try domain.isPersistent() ? domain.xml(.inactive) : nil
        let isActive = try domain.isActive()
        graph = isActive ? try domain.monitorCommand(BlockGraph.request) : nil
        var jobs: [String: String] = [:]
        if isActive, let definition = try? DomainDefinition(xml: live) {
            for disk in definition.disks where disk.facts.device == .disk && disk.facts.source != .none {
                let target = disk.facts.target.description
                if let job = try domain.blockJob(target) { jobs[target] = "\(job.kind)" }
            }
        }
        blockJobs = jobs
        volumes = try connection.volumes(in: [live] + (saved.map { [$0] } ?? []))
    }

    init(_ domain: Domain, _ connection: Connection) throws(LibvirtError) {
        try self.init(disksOf: domain, connection)
        if power == .running, let running = try domain.job(), running.kind == .bounded || running.kind == .unbounded {
            job = "\(running.operation)"
        }
        checkpoints = try domain.checkpointCount()
        hasManagedSave = try domain.hasManagedSave()
        snapshots = try domain.snapshots().map(\.name)
        currentSnapshot = try domain.currentSnapshot()?.name
        libvirtVersion = try connection.libraryVersion()
        qemuVersion = try connection.hypervisorVersion()
        others = try connection.definitions(besides: domain)
        volumes.merge(try connection.volumes(in: others.flatMap(\.xml))) { $1 }
    }

    /// Which of these images of that guest somebody else names.
    func sharedImages(of name: String, _ images: Set<String>) throws(Failure) -> [String: [String]] {
        try ImageUsers(others: others, of: name, live: live, saved: saved, volumes: volumes).users(of: images)
            .mapValues { $0.sorted() }
    }
}

extension GuestFacts.Power {
    init(_ state: Domain.State, _ reason: Int) {
        self =
            switch state {
            case .running, .blocked: .running
            case .paused:
                .paused(Self.pauseReasons.indices.contains(reason) ? Self.pauseReasons[reason] : "unknown reason")
            case .shutoff: .shutOff
            case .shutdown: .other("shutting down")
            case .crashed: .other("crashed")
            case .pmSuspended: .other("suspended by its own power management")
            case .noState: .other("in no known state")
            }
    }

    /// virDomainPausedReason, in its order.
    private static let pauseReasons = [
        "unknown reason", "by a user", "migration", "save", "dump", "I/O error", "watchdog", "restored from a snapshot",
        "shutting down", "snapshot", "crashed", "starting up", "postcopy", "failed postcopy", "API error",
    ]
}
