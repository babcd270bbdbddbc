// SPDX-License-Identifier: Apache-2.0

/// What a revert is asked for.
public struct RevertRequest: Sendable {
    public enum Goal: Sendable, Hashable {
        case snapshot(String)
        /// Where the guest was before the last revert; the name of that one's snapshot, if given, has to fit.
        case undo(String?)
    }

    /// How a guest that runs may be stopped.
    public enum Stop: Sendable, Hashable {
        case refuse
        case shutDown(within: Duration)
        case powerOff
    }

    public var goal: Goal
    public var stop = Stop.refuse
    /// How it is to stand at the end; nil for as it stood.
    public var ending: Ending?
    public var resetsNVRAM = false
    /// Goes on in the memory that the snapshot kept, if it kept any.
    public var usesMemory = true

    public init(_ goal: Goal) { self.goal = goal }
}

/// How a guest stands at the end of a revert.
public enum Ending: String, Codable, Sendable { case running, paused, shutOff }

/// Which images a guest is to use instead of those it uses. Making one touches nothing.
public struct RevertPlan: Sendable {
    public struct Disk: Sendable, Hashable {
        public var target: DiskTarget
        public var left: ImageLayer
        /// The new overlay, or where an undo leads back to.
        public var next: ImageLayer
        /// What it stands on, newest first.
        public var below: [ImageLayer]
    }

    public var lineage: Lineage
    /// The snapshot's name; for an undo the one whose revert is undone.
    public var name: String
    public var isUndo: Bool
    public var disks: [Disk]
    /// Disks that stay as they are.
    public var untouched: [DiskTarget]
    /// How it stood before; what a revert that fails leads back to.
    public var before: Ending
    public var ending: Ending
    public var stop: RevertRequest.Stop
    public var resetsNVRAM: Bool
    /// RAM and processor state of the snapshot, to go on from.
    public var memory: String?
    /// The run whose UEFI variables belong to where it goes.
    var variablesRun: RunID?
    /// The file of the guest's UEFI variables.
    var nvram: String?
    /// What goes into it.
    public var variables: (file: String, bytes: [UInt8])?
    /// What is left behind.
    public var branch: Branch
    /// The branch that is the guest's again.
    var resumed: Branch?
    public var fates: [(entry: CatalogueEntry, fate: CatalogueEntry.Fate)]
    /// Snapshots that libvirt has to forget, children first, or to know again, parents first.
    public var forgotten: [RegisteredSnapshot]
    public var restored: [RegisteredSnapshot]
    /// Layers that what libvirt is to know again may still name, and what they went into.
    var merged: [String: ImageLayer] {
        lineage.abandoned.reduce(into: [:]) { $0.merge($1.branch.merged) { _, new in new } }
    }
    /// libvirt's current snapshot afterwards.
    public var current: RegisteredSnapshot?

    init(
        _ request: RevertRequest, _ facts: GuestFacts, _ lineage: Lineage, as run: RunID, at time: Timestamp
    ) throws(Failure) {
        let guest = facts.guest
        try Self.refuse(facts, request)
        self.lineage = lineage
        stop = request.stop
        resetsNVRAM = request.resetsNVRAM
        switch facts.power {
        case .shutOff: before = .shutOff
        case .paused: before = .paused
        case .running, .other: before = .running
        }
        ending = request.ending ?? before
        var current: String?
        switch request.goal {
        case .snapshot(let wish):
            let snapshot = try lineage.snapshot(named: wish)
            if let why = snapshot.loss { throw Failure(.refused, why, hint: "stillpoint list \(guest.name)") }
            (name, isUndo, resumed) = (snapshot.name, false, nil)
            disks = try Self.disks(of: snapshot, in: lineage, as: run)
            current = snapshot.name
            variablesRun = snapshot.entry?.run
            if request.usesMemory, let file = snapshot.memoryFile {
                memory = file
                ending = request.ending ?? .running
            }
        case .undo(let wish):
            guard
                let last = lineage.abandoned.last(where: { wish == nil || $0.branch.revertedTo == wish }),
                last.branch.run == lineage.abandoned.last?.branch.run
            else {
                throw Failure(
                    .noSuchThing,
                    "\(guest.name) has no revert\(wish.map { " to \($0)" } ?? "") that could be undone next",
                    hint: "stillpoint list \(guest.name)")
            }
            (name, isUndo, resumed) = (last.branch.revertedTo, true, last.branch)
            disks = try Self.disks(of: last, in: lineage)
            current = last.branch.current
            variablesRun = last.branch.run
        }
        let changed = Set(disks.map(\.target))
        untouched = lineage.active.keys.filter { !changed.contains($0) }.sorted()
        if memory != nil { try Self.refuseMemory(request, name, facts, untouched) }
        let left = Branch(
            run: run, guest: guest, leftAt: time, revertedTo: name,
            leaves: disks.map { .init(target: $0.target, image: $0.left) },
            current: facts.currentSnapshot, forgotten: [], merged: lineage.abandoned.last?.branch.merged ?? [:])

        let then = Self.after(disks, leaving: left, resuming: resumed, lineage)
        fates = []
        forgotten = []
        var wanted: [RegisteredSnapshot] = []
        for snapshot in then.snapshots {
            let standing = then.standing(of: snapshot)
            let isLeft = standing == .abandoned
            if standing != .gone, let entry = snapshot.entry, entry.fate != .merging,
                entry.fate != (isLeft ? .abandoned : .kept)
            {
                fates.append((entry, isLeft ? .abandoned : .kept))
            }
            guard let registered = snapshot.registered else {
                // In use again, and libvirt was made to forget it when its branch was left.
                if !isLeft, standing != .gone, let memory = snapshot.memory {
                    var known = memory.holding(snapshot, in: then)
                    known.parent = then.listedParent(of: snapshot, remembering: known.parent)
                    wanted.append(known)
                }
                continue
            }
            if isLeft { forgotten.append(registered) } else if registered.name == current { self.current = registered }
        }
        // Children first, and parents first.
        forgotten.reverse()
        restored = wanted
        self.current = self.current ?? wanted.last { $0.name == current }
        branch = left
        // What the branch that is taken up again remembers and does not bring back is remembered here.
        branch.forgotten =
            forgotten.reversed()
            + (resumed?.forgotten ?? []).filter { old in !wanted.contains { $0.xml == old.xml } }
    }

    /// All that speaks against it before a snapshot is looked for.
    private static func refuse(_ facts: GuestFacts, _ request: RevertRequest) throws(Failure) {
        let name = facts.guest.name
        guard facts.isPersistent else {
            throw Failure(
                .refused, "\(name) is transient: it has no saved definition that could lead back to a snapshot")
        }
        try facts.refuseIfBusy()
        switch (facts.power, request.stop) {
        case (.shutOff, _), (_, .shutDown), (_, .powerOff): break
        case (.running, .refuse), (.paused, .refuse), (.other, .refuse):
            throw Failure(
                .refused, "\(name) is running: a revert takes its disks from under it",
                hint: "--shutdown asks it to shut down first, --destroy takes its power away")
        }
        if case .paused = facts.power, case .shutDown = request.stop {
            throw Failure(
                .refused, "\(name) is paused and cannot shut down", hint: "virsh resume \(name)   or   --destroy")
        }
    }

    /// Memory that knows a disk as it was goes with no other.
    private static func refuseMemory(
        _ request: RevertRequest, _ name: String, _ facts: GuestFacts, _ untouched: [DiskTarget]
    ) throws(Failure) {
        let hint = "stillpoint revert \(facts.guest.name) \(name) --no-memory   starts it anew from the disks"
        if request.resetsNVRAM {
            throw Failure(.usage, "\(name) goes on in its memory: there is no start for --reset-nvram", hint: hint)
        }
        let changed = untouched.filter { target in facts.disks.contains { $0.target == target && !$0.isReadOnly } }
        guard changed.isEmpty else {
            let disks = changed.map(\.description).joined(separator: " ")
            throw Failure(
                .refused, "\(name) left \(disks) out, and its memory would meet another content there", hint: hint)
        }
    }

    private static func disks(
        of snapshot: Lineage.Snapshot, in lineage: Lineage, as run: RunID
    ) throws(Failure) -> [Disk] {
        let guest = lineage.guest.name
        guard !snapshot.isInside else {
            throw Failure(
                .refused, "\(snapshot.name) is an internal snapshot: it lies inside the images",
                hint: "virsh snapshot-revert \(guest) \(snapshot.name)")
        }
        var frozen: [DiskTarget: [ImageLayer]] = [:]
        for (target, overlay) in snapshot.overlays {
            guard let chain = lineage.frozen(snapshot, target), let image = chain.first else {
                throw Failure(
                    .refused,
                    "\(snapshot.name) is not whole any more: its image of \(target) is gone or has been merged into (\(overlay) is not in use)",
                    hint: "stillpoint list \(guest)")
            }
            guard let active = lineage.active[target]?.first else {
                throw Failure(.refused, "\(guest) has no disk \(target) any more, which \(snapshot.name) holds")
            }
            guard image.path != active.path else {
                throw Failure(.refused, "\(guest) writes to \(image.path) itself: \(snapshot.name) is no more")
            }
            frozen[target] = chain
        }
        guard !frozen.isEmpty else { throw Failure(.refused, "\(snapshot.name) holds no disk") }
        let names = OverlayNames(onto: frozen, beside: snapshot.overlays, suffix: "revert-\(run.short)")
        var disks: [Disk] = []
        for (target, chain) in frozen.sorted(by: { $0.key < $1.key }) {
            guard let path = names.path(for: target), let left = lineage.active[target]?.first else { continue }
            disks.append(
                Disk(target: target, left: left, next: ImageLayer(path: path, format: "qcow2"), below: chain))
        }
        return disks
    }

    private static func disks(of last: Lineage.Abandoned, in lineage: Lineage) throws(Failure) -> [Disk] {
        var disks: [Disk] = []
        for leaf in last.branch.leaves {
            guard let left = lineage.active[leaf.target]?.first else {
                throw Failure(.refused, "\(lineage.guest.name) has no disk \(leaf.target) any more")
            }
            guard let chain = last.chains[leaf.target], let next = chain.first else {
                throw Failure(.refused, "\(leaf.image.path), where the guest was before, is gone")
            }
            let others = lineage.children(of: next.path).union(lineage.strangers[next.path] ?? [])
            if let other = others.min() {
                throw Failure(
                    .refused,
                    "\(leaf.target): \(other) lies on \(next.path), to which the guest would write again")
            }
            if let written = chain.first(where: { layer in
                lineage.active.values.contains { $0.first?.path == layer.path }
            }) {
                throw Failure(
                    .refused,
                    "\(leaf.target): the guest writes to \(written.path), on which \(next.path) lies: where it was before is no more",
                    hint: "stillpoint prune \(lineage.guest.name) --abandoned   gives it up")
            }
            disks.append(Disk(target: leaf.target, left: left, next: next, below: Array(chain.dropFirst())))
        }
        return disks.sorted { $0.target < $1.target }
    }

    private static func after(
        _ disks: [Disk], leaving branch: Branch, resuming resumed: Branch?, _ lineage: Lineage
    ) -> Lineage {
        var then = lineage
        var left: [DiskTarget: [ImageLayer]] = [:]
        for disk in disks {
            left[disk.target] = lineage.active[disk.target]
            then.active[disk.target] = [disk.next] + disk.below
        }
        then.abandoned.removeAll { $0.branch.run == resumed?.run }
        then.abandoned.append(Lineage.Abandoned(branch: branch, chains: left))
        return then
    }
}

extension GuestFacts {
    /// Nothing that belongs to somebody else goes on with its disks, and QEMU and libvirt agree about them.
    func refuseIfBusy() throws(Failure) {
        if let failure = graphFindings.refusal?.failure { throw failure }
        for finding in stateFindings {
            switch finding.code {
            case "guest.job", "disk.blockJob", "guest.checkpoints": if let failure = finding.failure { throw failure }
            default: break
            }
        }
    }
}
