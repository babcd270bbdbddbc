// SPDX-License-Identifier: Apache-2.0

/// Leads a guest back to a snapshot, or back from there: new overlays on the frozen images, its saved definition changed
/// to them, and nothing of what it leaves is touched. Whenever it is stopped, the definition names a set of images that
/// belong together and boots.
public struct RevertRun: Sendable {
    let guest: GuestIdentity
    let ports: LifePorts
    let interruption: Interruption
    let tell: @Sendable (RunEvent) -> Void

    public init(
        _ guest: GuestIdentity, through ports: LifePorts, interruption: Interruption,
        telling listener: @escaping @Sendable (RunEvent) -> Void
    ) {
        self.guest = guest
        self.ports = ports
        self.interruption = interruption
        tell = listener
    }

    public func plan(_ request: RevertRequest, as run: RunID) async throws(Failure) -> RevertPlan {
        let facts = try await ports.hypervisor.observe(alsoFolders: [], probing: [])
        if try await ports.life.hasManagedSave() {
            throw Failure(
                .refused,
                "\(guest.name) has a managed save image: its next start would go on in a memory of other disks",
                hint: "virsh start \(guest.name)   or   virsh managedsave-remove \(guest.name)")
        }
        let lineage = try await ports.lineage(facts)
        var plan = try RevertPlan(request, facts, lineage, as: run, at: ports.time.wall)
        if let memory = plan.memory, await ports.layers.allocatedBytes(of: memory) == nil {
            throw Failure(
                .refused, "the memory of \(plan.name), \(memory), is gone",
                hint: "stillpoint revert \(guest.name) \(plan.name) --no-memory   starts it anew from the disks")
        }
        if let file = facts.nvram, !request.resetsNVRAM, let kept = plan.variablesRun,
            let bytes = try await ports.branches.variables(of: kept)
        {
            plan.variables = (file, bytes)
        }
        plan.nvram = facts.nvram
        for finding in await ports.images.obstacles(to: try await staged(plan)) {
            if let failure = finding.failure { throw failure }
        }
        return plan
    }

    /// Goes on to its end when the caller's task is cancelled; ``Interruption`` is the way to stop it.
    public func execute(_ plan: RevertPlan, as run: RunID) async throws(Failure) -> RevertReport {
        let begin = ports.time.now
        let what = plan.isUndo ? "undo the revert to \(plan.name)" : "revert to \(plan.name)"
        try await ports.journal.open(run, for: guest, named: what, at: ports.time.wall)
        let notes: [String]
        var isBetween = false
        do throws(Failure) {
            try await stage(plan, run)
            try await stop(plan, run)
            notes = try await takeEffect(plan, &isBetween)
        } catch {
            // Where it could not go back, `recover` has to see where the guest is.
            if !isBetween { try? await ports.journal.close(run, .failed, at: ports.time.wall) }
            throw error
        }
        try await ports.journal.close(run, .done, at: ports.time.wall)
        return plan.report(took: begin.duration(to: ports.time.now), notes: notes)
    }

    // MARK: its steps

    private func staged(_ plan: RevertPlan) async throws(Failure) -> [MemberPlan.Disk] {
        guard !plan.isUndo else { return [] }
        var disks: [MemberPlan.Disk] = []
        for disk in plan.disks {
            guard let base = disk.below.first else { continue }
            disks.append(
                MemberPlan.Disk(
                    target: disk.target, base: base, overlay: disk.next.path,
                    virtualSizeBytes: try await ports.layers.virtualSize(of: base), chain: disk.below))
        }
        return disks
    }

    private func stage(_ plan: RevertPlan, _ run: RunID) async throws(Failure) {
        let disks = try await staged(plan)
        guard !disks.isEmpty else { return }
        tell(.doing("making the overlays"))
        try await ports.journal.record(.staging(overlays: disks.map(\.overlay)), of: run, at: ports.time.wall)
        try await ports.images.stage(disks)
    }

    /// From here on an interruption is too late: what follows takes no time but that of the guest's start.
    private func takeEffect(_ plan: RevertPlan, _ isBetween: inout Bool) async throws(Failure) -> [String] {
        let before: String
        var variables: [UInt8]?
        do throws(Failure) {
            before = try await ports.hypervisor.definition()
            if let file = plan.nvram, plan.variables != nil || plan.resetsNVRAM {
                variables = try await ports.images.contents(of: file)
            }
            try await ports.branches.keep(plan.branch, definition: before, variables: variables)
        } catch {
            await discard(plan)
            await standAsBefore(plan)
            throw error
        }
        do throws(Failure) {
            tell(.doing("changing its definition"))
            let images = plan.disks.reduce(into: [:]) { $0[$1.target] = $1.next }
            try await ports.life.define(before, with: images)
            if let (file, bytes) = plan.variables { try await ports.images.overwrite(file, with: bytes) }
            try await prove(plan, isActive: false)
            if plan.ending != .shutOff {
                try await start(plan, images)
                try await prove(plan, isActive: true)
            }
        } catch {
            throw await goBack(plan, to: before, variables, error, &isBetween)
        }
        return await settle(plan)
    }

    private func start(_ plan: RevertPlan, _ images: [DiskTarget: ImageLayer]) async throws(Failure) {
        if let memory = plan.memory {
            tell(.doing("going on from \(memory)"))
            try await ports.life.resume(from: memory, naming: images, paused: plan.ending == .paused)
        } else {
            tell(.doing("starting it"))
            try await ports.life.start(paused: plan.ending == .paused, resettingNVRAM: plan.resetsNVRAM)
        }
    }

    /// The saved definition, and where it runs QEMU's graph and the running one, name the new chain, and so do the images.
    private func prove(_ plan: RevertPlan, isActive: Bool) async throws(Failure) {
        let now = try await ports.hypervisor.disks()
        for disk in plan.disks {
            let chain = [disk.next] + disk.below
            guard let facts = now.first(where: { $0.target == disk.target }) else {
                throw Failure(.verificationFailed, "\(disk.target) is not in the definition any more")
            }
            if let quarrel = facts.disagreement { throw Failure(.verificationFailed, quarrel) }
            guard facts.activeImage == disk.next,
                !isActive || facts.liveChain.map(\.path) == chain.map(\.path)
            else {
                throw Failure(
                    .verificationFailed,
                    "\(disk.target) would be \(facts.activeImage?.path ?? "nothing"), not \(disk.next.path)")
            }
            let header = try await ports.layers.chain(of: disk.next)
            guard header == chain else {
                throw Failure(
                    .verificationFailed, "\(disk.next.path) does not lie on \(chain.dropFirst().first?.path ?? "it")")
            }
        }
    }

    private func goBack(
        _ plan: RevertPlan, to before: String, _ variables: [UInt8]?, _ failure: Failure, _ isBetween: inout Bool
    ) async -> Failure {
        tell(.doing("going back to the definition from before"))
        do throws(Failure) {
            try await ports.life.powerOff()
            try await ports.life.define(before, with: [:])
            if let file = plan.nvram, let variables { try await ports.images.overwrite(file, with: variables) }
            try await ports.branches.drop(plan.branch.run)
        } catch {
            isBetween = true
            return Failure(
                .internalError,
                "\(failure.message); and its definition from before could not be put back: \(error.message)",
                hint: "it is domain.xml in the folder of run \(plan.branch.run)")
        }
        await discard(plan)
        await standAsBefore(plan)
        return Failure(failure.status, "\(failure.message); \(guest.name) is as before", hint: failure.hint)
    }

    func discard(_ plan: RevertPlan) async {
        guard !plan.isUndo else { return }
        for file in await ports.images.discard(plan.disks.map(\.next.path)) {
            tell(.note("\(file), never used, could not be removed"))
        }
    }

    /// After a failure: started again if it was us who stopped it.
    func standAsBefore(_ plan: RevertPlan) async {
        guard plan.before != .shutOff, (try? await ports.life.power()) == .shutOff else { return }
        do throws(Failure) {
            try await ports.life.start(paused: plan.before == .paused, resettingNVRAM: false)
        } catch {
            tell(.note("it could not be started again: \(error.message)"))
        }
    }

    /// The guest is where it should be: what remains is what libvirt and our catalogue say of snapshots.
    private func settle(_ plan: RevertPlan) async -> [String] {
        var notes: [String] = []
        if plan.nvram != nil, plan.variables == nil, !plan.resetsNVRAM, !plan.isUndo {
            notes.append("its UEFI variables are as they were: none were kept with \(plan.name)")
        }
        func attempt(_ what: String, _ body: () async throws(Failure) -> Void) async {
            do throws(Failure) { try await body() } catch { notes.append("\(what): \(error.message)") }
        }
        for snapshot in plan.forgotten {
            await attempt("libvirt still lists \(snapshot.name)") { () throws(Failure) in
                try await ports.life.forget(snapshot.name)
            }
        }
        for snapshot in plan.restored {
            await attempt("libvirt does not list \(snapshot.name)") { () throws(Failure) in
                try await ports.life.restore(snapshot, replacing: plan.merged, asCurrent: false)
            }
        }
        if let current = plan.current {
            await attempt("libvirt's current snapshot is not \(current.name)") { () throws(Failure) in
                try await ports.life.restore(current, replacing: plan.merged, asCurrent: true)
            }
        }
        for (entry, fate) in plan.fates {
            await attempt("\(entry.name) is not marked as \(fate.rawValue)") { () throws(Failure) in
                try await ports.catalogue.mark(entry.run, fate)
            }
        }
        if let resumed = plan.resumed {
            await attempt("the branch that was taken up again is still listed") { () throws(Failure) in
                try await ports.branches.drop(resumed.run)
            }
        }
        return notes
    }
}
