// SPDX-License-Identifier: Apache-2.0

/// What a run will do to one guest, and everything that speaks against it. Making one touches nothing.
public struct MemberPlan: Sendable {
    public struct Disk: Codable, Sendable, Hashable {
        public var target: DiskTarget
        /// The image that will be frozen.
        public var base: ImageLayer
        /// The new active layer.
        public var overlay: String
        public var virtualSizeBytes: Int64
        /// Newest first, before the cut.
        public var chain: [ImageLayer]
    }

    public struct LeftOut: Codable, Sendable, Hashable {
        public var target: DiskTarget
        public var reason: String
        public var virtualSizeBytes: Int64?
    }

    /// One instance of an application that its hook prepares.
    public struct Application: Sendable, Hashable {
        public var facts: ApplicationFacts

        init(_ facts: ApplicationFacts) { self.facts = facts }

        public var choice: HookChoice { facts.choice }
        public var label: String { facts.label }
        /// Without it the level `application` is not reached.
        public var isRequired: Bool { choice.policy != .ignore }
    }

    public struct SkippedApplication: Sendable, Hashable {
        public var facts: ApplicationFacts
        public var reason: String
    }

    public var facts: GuestFacts
    public var method: CutMethod
    /// How long the guest has for shutting down before the cut; nil where it is not asked to.
    public var shutsDown: Duration?
    public var note: String?
    public var registers: Bool
    public var asked: Consistency
    /// Missing the level that is asked for undoes the snapshot.
    public var isRequired: Bool
    public var maxFreeze: Duration
    public var disks: [Disk]
    public var leftOut: [LeftOut]
    /// One filesystem for each distinct device that is to be frozen.
    public var frozen: [Filesystem]
    /// On the chosen disks, but impossible to freeze; synced before the window.
    public var notFreezable: [Filesystem]
    public var expedites: Bool
    /// In the order in which they take their locks.
    public var applications: [Application]
    public var skippedApplications: [SkippedApplication]
    public var maxHold: Duration
    public var findings: [Finding]

    public var guest: GuestIdentity { facts.guest }
    /// Without a freeze there is nothing to thaw, sync or expedite.
    public var freezes: Bool { !frozen.isEmpty }

    /// All findings at once: no check waits for another to be mended.
    public init(of facts: GuestFacts, for asking: SnapshotRequest) {
        let method = CutMethod(facts, asking)
        var request = asking
        if !method.holdsStill { (request.freezes, request.runsHooks) = (false, false) }
        let choice = DiskChoice(of: facts, for: request)
        let coverage = Coverage(of: facts, chosen: Set(choice.chosen.map(\.target)))
        let applications = ApplicationChoice(of: facts, for: request, chosen: Set(choice.chosen.map(\.target)))
        let overlays = OverlayNames(for: choice.chosen, named: request.name, files: request.selection.files)
        let windows = facts.isWindows
        let survey = facts.agent.report?.survey

        self.facts = facts
        self.method = method
        (note, registers) = (request.note, request.registers)
        shutsDown = facts.power == .shutOff ? nil : request.shutsDown
        asked = (method.isAtRest ? asking : request).asked(knowingOfApplications: applications.isAnythingFound)
        isRequired = request.required != nil
        let longest = windows ? SnapshotRequest.longestWindowsWindow : SnapshotRequest.longestWindow
        maxFreeze = min(max(request.maxFreeze, SnapshotRequest.shortestWindow), longest)
        disks = choice.chosen.compactMap { disk in
            guard let base = disk.activeImage, let size = disk.virtualSizeBytes,
                let overlay = method == .inside ? base.path : overlays.path(for: disk.target)
            else { return nil }
            return Disk(
                target: disk.target, base: base, overlay: overlay, virtualSizeBytes: size, chain: disk.liveChain)
        }
        leftOut = choice.leftOut
        frozen = request.freezes ? coverage.freezable : []
        notFreezable = request.freezes ? coverage.notFreezable : []
        expedites = request.freezes && request.expedites && survey != nil && survey?.expediteObstacle == nil
        self.applications = applications.taking
        skippedApplications = applications.skipped
        maxHold = request.maxHold
        findings =
            facts.powerFindings(asking, method)
            + facts.stateFindings
            + facts.agentFindings(request)
            + facts.graphFindings
            + choice.findings
            + facts.chainFindings(choice.chosen, request.chainLimits)
            + (request.freezes ? coverage.findings : coverage.guardFindings)
            + (method == .inside
                ? choice.insideFindings(facts) : overlays.findings + facts.spaceFindings(choice.chosen, overlays))
            + facts.memoryFindings(method)
            + facts.surroundings(choice.chosen, request)
            + facts.firmwareFindings
            + applications.findings
    }

    /// The same plan with what only the host's files and our own journal can tell.
    public func knowing(_ obstacles: [Finding], _ unfinished: [UnfinishedRun]) -> MemberPlan {
        var plan = self
        plan.findings += obstacles
        if unfinished.contains(where: \.mayHaveFrozen),
            let index = plan.findings.firstIndex(where: { $0.code == "freeze.foreign" })
        {
            plan.findings[index].code = "freeze.own"
            plan.findings[index].text = "\(guest.name) is frozen already, by a freeze of ours that was not thawed yet"
            plan.findings[index].fix = ["stillpoint thaw \(guest.name)"]
        }
        plan.findings += unfinished.map { run in
            Finding(
                run.touchesDisks ? .refuses(.busy) : .note, "run.unfinished",
                "an earlier run (\(run.name), \(run.startedAt.local)) did not come to its end",
                fix: ["stillpoint recover \(guest.name)"])
        }
        return plan
    }

    /// With who is at work on the guest: a run that has not ended yet is then no earlier one that broke off.
    public func knowing(holder: String?) -> MemberPlan {
        guard let holder else { return self }
        var plan = self
        plan.findings.removeAll { $0.code == "run.unfinished" }
        plan.findings.append(
            Finding(
                .refuses(.busy), "guest.busy", "\(guest.name) is busy: \(holder)",
                fix: ["stillpoint snapshot \(guest.name) --wait 30s"]))
        return plan
    }

    func order(_ name: SnapshotName) -> CutOrder {
        CutOrder(name: name, note: note, disks: disks, others: leftOut.map(\.target), registers: registers)
    }

    /// The overlays that the run makes.
    public var staged: [Disk] { method == .inside ? [] : disks }

    /// With who reads its snapshots, or is going to.
    public func knowing(_ uses: [SnapshotUse], at time: Timestamp) -> MemberPlan {
        var plan = self
        plan.findings += uses.map { use in
            let isLeft = use.kind == .run && !use.isServed
            let late = use.isOverdue(at: time) && !isLeft ? ", which is over" : ""
            return Finding(
                .note, isLeft ? "run.left" : "snapshot.\(use.kind.rawValue)",
                "\(use.snapshot) is \(use.words)\(late)\(isLeft ? ": it is still to be committed" : "")",
                fix: use.remedy.map { [$0] } ?? [])
        }
        return plan
    }

    /// Filesystems whose data the window's sync goes to: those frozen and those that cannot be.
    public var synced: [Filesystem] { frozen + notFreezable }
}
