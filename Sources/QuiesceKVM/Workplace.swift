// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Libvirt
public import Quiesce

/// One hypervisor and our own state beside it: where every command begins.
public struct Workplace: Sendable {
    public static let version = "0.1.0"

    public let uri: HypervisorURI
    public let time = SystemTime()
    let state: StateFolder
    let ledger: Ledger
    private let configuration: Result<Settings, Failure>

    public init(_ uri: HypervisorURI, stateFolder: String?, configuration: String?) throws(Failure) {
        self.uri = uri
        do throws(Failure) { self.configuration = .success(try Settings(file: configuration)) } catch {
            self.configuration = .failure(error)
        }
        state = try StateFolder(stateFolder)
        ledger = Ledger(in: state)
    }

    func settings() throws(Failure) -> Settings { try configuration.get() }

    /// What brings a guest to safety does without: a wrong word in it keeps nobody from a thaw.
    public func demandConfiguration() throws(Failure) { _ = try settings() }

    public var journal: any Journal { ledger.journalWithFailpoints }
    public var catalogue: any Catalogue { ledger.catalogueWithFailpoints }

    /// Who reads which snapshot; of all guests for nil.
    public func uses(of guest: GuestIdentity?) async throws(Failure) -> [SnapshotUse] {
        try await ledger.uses(of: guest)
    }

    /// What the configuration says of this guest, and the hooks to try in it.
    ///
    /// - Parameter names: hooks that are asked for by name, these alone.
    public func configure(
        _ request: inout SnapshotRequest, for guest: GuestIdentity, hooks names: [String] = []
    ) throws(Failure) {
        let settings = try settings()
        let words = settings.guest(guest.name)
        request.exclusions = words.exclude
        request.configured = words.require
        request.chainLimits = settings.chain
        if let maxFreeze = words.maxFreeze { request.maxFreeze = maxFreeze }
        if let maxHold = words.maxHold { request.maxHold = maxHold }
        if request.runsHooks {
            request.hooks = try settings.hooks(of: guest.name, named: names, from: HookCatalogue())
        }
    }

    /// - Parameter reference: a name, id or UUID, as virsh takes it.
    public func guest(_ reference: String) async throws(Failure) -> OpenGuest {
        OpenGuest(try await LibvirtGuest.open(uri.description, reference, lane: "guest"), in: self)
    }
}

/// One guest, with everything a command does to it.
public struct OpenGuest: Sendable {
    public let identity: GuestIdentity
    public let hypervisor: any Hypervisor
    let guest: LibvirtGuest
    let agent: GuestAgent
    let workplace: Workplace

    init(_ guest: LibvirtGuest, in workplace: Workplace) {
        self.guest = guest
        self.workplace = workplace
        identity = GuestIdentity(name: guest.domain.name, uuid: guest.domain.uuid, uri: guest.uri)
        agent = GuestAgent(channel: LibvirtAgentChannel(guest: guest))
        let observer = AgentObserver(agent: agent, domain: identity.name)
        hypervisor = LibvirtHypervisor(guest: guest, agent: observer, version: Workplace.version).withFailpoints
    }

    /// Does `body` with the right to change this guest, once what an earlier run left in it is over: thawed, released and
    /// disarmed. Where more is to be done: `.busy`, naming `recover`. `status`, `thaw` and what only reads does without.
    public func held<Value>(
        for command: String, by run: RunID, waiting wait: Duration, interruption: Interruption,
        telling listener: @escaping @Sendable (RunEvent) -> Void = { _ in },
        _ body: (GuestLock) async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        try await owned(for: command, by: run, waiting: wait, interruption: interruption) { lock throws(Failure) in
            try await recovery(interruption, isDryRun: false, telling: listener).makeWay()
            return try await body(lock)
        }
    }

    /// Its lock on this host, and for all others a record in its metadata.
    func owned<Value>(
        for command: String, by run: RunID, waiting wait: Duration, interruption: Interruption,
        _ body: (GuestLock) async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        let time = workplace.time
        let begin = time.now
        let lock = try await GuestLock(
            of: identity, in: lockFolder, for: command, waiting: wait, time: time, interruption: interruption)
        defer { lock.release() }
        let record = OwnerRecord(run, command, at: time.wall)
        let left = max(.zero, wait - begin.duration(to: time.now))
        try await guest.claim(record, waiting: left, time: time, interruption: interruption)
        do throws(Failure) {
            let value = try await body(lock)
            await guest.disclaim(record)
            return value
        } catch {
            await guest.disclaim(record)
            throw error
        }
    }

    var time: any Time { workplace.time }
    var ledger: Ledger { workplace.ledger }

    var lockFolder: String { GuestLock.folder(of: identity.uri, state: workplace.state) }

    /// Everything that can be known before anything is touched.
    public func plan(_ request: inout SnapshotRequest) async throws(Failure) -> MemberPlan {
        let facts = try await hypervisor.observe(alsoFolders: request.overlayFolders, probing: request.hooks)
        if !request.isNameChosen { request.name = request.name.free(among: facts.snapshots) }
        let plan = MemberPlan(of: facts, for: request)
        let unfinished = try await workplace.ledger.unfinished(of: identity)
        guard !workplace.uri.isRemote else { return plan.knowing([], unfinished) }
        let images = try images()
        var obstacles = await images.obstacles(to: plan.staged)
        if let file = plan.method.memoryFile, let disk = plan.disks.first {
            obstacles += await images.obstacles(to: file, beside: disk.base.path)
        }
        return plan.knowing(obstacles, unfinished)
            .knowing(try await workplace.uses(of: identity), at: workplace.time.wall)
    }

    /// The same for those who only look and do not hold the guest's lock.
    public func planBesideOthers(_ request: inout SnapshotRequest) async throws(Failure) -> MemberPlan {
        try await plan(&request).knowing(holder: try await holder())
    }

    public func control(for run: RunID) -> any GuestControl {
        AgentGuestControl(guest, run: run, time: workplace.time).withFailpoints
    }

    public func images() throws(Failure) -> any ImageStore { try QemuImages().withFailpoints }

    public var verifier: any ImageVerifier { FrozenImages(scratch: "/var/tmp") }

    public func verification() throws(Failure) -> Verification {
        Verification(hypervisor: hypervisor, images: try images(), verifier: verifier)
    }

    public func ports(for run: RunID, holding lock: GuestLock?) throws(Failure) -> RunPorts {
        let guardian = try GuardProcess(
            of: run, on: identity, lock: lock?.descriptor, state: workplace.state, time: workplace.time)
        return RunPorts(
            hypervisor: hypervisor, guest: control(for: run), guardian: guardian.withFailpoints,
            images: try images(),
            verifier: verifier,
            journal: workplace.journal, catalogue: workplace.catalogue, time: workplace.time, starter: .current)
    }

    /// Bytes each image takes on the host; those that cannot be looked at are left out.
    public func allocated(_ images: [String]) -> [String: Int64] {
        images.reduce(into: [:]) { $0[$1] = try? QemuImages.allocatedBytes(of: $1) }
    }
}
