// SPDX-License-Identifier: Apache-2.0

/// What a run that did not come to its end may have left, by its own words.
extension UnfinishedRun {
    /// It was going to freeze, and no thaw was written down.
    public var mayHaveFrozen: Bool { !frozenMountpoints.isEmpty }

    var frozenMountpoints: [String] {
        steps.reduce(into: []) { frozen, step in
            switch step {
            case .window(let mountpoints, _), .freezingByHand(let mountpoints, _): frozen = mountpoints
            case .windowClosed(_, thawed: true, _), .thawed: frozen = []
            default: break
            }
        }
    }

    /// Frozen on purpose, for somebody else's snapshot.
    public var isByHand: Bool { steps.contains { if case .freezingByHand = $0 { true } else { false } } }

    /// When a freeze by hand ends inside the guest.
    var lease: Timestamp? {
        steps.reduce(nil) { known, step in if case .freezingByHand(_, let until) = step { until } else { known } }
    }

    /// More than a thaw, a release and a disarming is to be done.
    public var touchesDisks: Bool { !overlays.isEmpty || !merges.isEmpty || !going.isEmpty || owesStart }

    /// Where its snapshot is in the catalogue: only its own leavings in the guest were to be cleared away.
    var hasOnlyToBeClosed: Bool { merges.isEmpty && going.isEmpty && !owesStart }

    /// It ran before, and is to run again.
    var owesStart: Bool {
        steps.reduce(false) { owes, step in
            switch step {
            case .shuttingDown, .reverting(_, _, wasActive: true): true
            case .startedAgain: false
            default: owes
            }
        }
    }

    /// It may be going down at this moment.
    var wasAskedToShutDown: Bool { steps.contains { if case .shuttingDown = $0 { true } else { false } } }

    /// What a revert was going to, and the images that its new definition names.
    var reverted: (to: String, images: [String])? {
        steps.reduce(nil) { known, step in
            if case .reverting(let name, let images, _) = step { (name, images) } else { known }
        }
    }

    /// What it staged was for a revert, whether or not that began.
    var isOfRevert: Bool { reverted != nil || !overlays.isEmpty && intent == nil }

    var overlays: [String] {
        steps.reduce(into: []) { known, step in if case .staging(let overlays, _) = step { known = overlays } }
    }

    var intent: RunIntent? {
        steps.reduce(nil) { known, step in if case .staging(_, let intent) = step { intent } else { known } }
    }

    /// Layers that were going into the ones below them.
    var merges: [Merge] {
        steps.reduce(into: []) { known, step in if case .merging(let merges) = step { known = merges } }
    }

    /// Files that were to be removed after a merge; empty while it was not over.
    var going: [String] {
        steps.reduce(into: []) { known, step in if case .removing(let files) = step { known = files } }
    }

    /// A freeze was sent, whatever became of it.
    var hasFrozen: Bool {
        steps.contains { if case .window(let mountpoints, _) = $0 { !mountpoints.isEmpty } else { false } }
    }

    /// The cut may have been sent.
    var mayHaveCut: Bool { steps.contains { if case .window = $0 { true } else { false } } }

    /// How the window ended; nil when that was not written down.
    var windowEnd: (cut: Bool, proof: WindowProof?)? {
        steps.reduce(nil) { known, step in
            if case .windowClosed(let cut, _, let proof) = step { (cut, proof) } else { known }
        }
    }

    /// libvirt may have got its snapshot.
    var mayHaveRegistered: Bool { steps.contains { if case .registering = $0 { true } else { false } } }

    /// Hooks that were taken up and of which no release was confirmed, in the order in which they took their locks.
    var hooks: [PreparedHook] {
        steps.reduce(into: []) { open, step in
            switch step {
            case .preparing(let hooks): open = hooks
            case .released(let labels): open.removeAll { labels.contains($0.label) }
            default: break
            }
        }
    }
}

extension RunIntent {
    init(of plan: MemberPlan, for request: SnapshotRequest, by starter: RunReport.Starter) {
        disks = plan.staged
        isAtRest = plan.method.isAtRest
        leftOut = plan.leftOut
        frozen = plan.frozen.reduce(into: Set<DiskTarget>()) { $0.formUnion($1.targets) }.sorted()
        asked = plan.asked
        note = request.note
        parent = plan.facts.currentSnapshot
        registers = request.registers
        versions = plan.facts.versions
        self.starter = starter
    }
}
