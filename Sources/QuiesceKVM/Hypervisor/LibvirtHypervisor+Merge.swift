// SPDX-License-Identifier: Apache-2.0

import Libvirt
import Quiesce

/// Block commit of all disks at once: one that the guest writes to pivots on its own READY event, one from the middle of a
/// chain ends by itself.
extension LibvirtHypervisor {
    func merge(
        _ disks: [Merge], options: MergeOptions, progress: @escaping @Sendable (MergeProgress) -> Void
    ) async throws(Failure) {
        try options.interruption?.check()
        let events = try await guest.run("listen to block jobs") { domain throws(LibvirtError) in
            try domain.blockJobEvents()
        }
        let begin = ContinuousClock.now
        var open: [String: Merge] = [:]
        do throws(Failure) {
            for disk in disks {
                let target = disk.target.description
                // A job from an interrupted commit goes on where it is.
                let running = try await guest.run("look for a block job on \(target)") { domain throws(LibvirtError) in
                    try domain.blockJob(target)
                }
                if let kind = running?.kind, kind != (disk.isHead ? .activeCommit : .commit) {
                    throw Failure(
                        .busy, "a block job of somebody else's (\(kind)) runs on \(target)",
                        hint: "stillpoint jobs \(guest.domain.name)")
                }
                if running == nil {
                    try await guest.run("merge \(disk.top) into \(disk.base)") { domain throws(LibvirtError) in
                        try domain.blockCommit(
                            target, base: disk.base, top: disk.isHead ? nil : disk.top,
                            bandwidth: UInt(clamping: options.bandwidth), disk.isHead ? .active : [])
                    }
                }
                open[target] = disk
            }
            try await pivot(&open, hearing: events, since: begin, options, progress)
        } catch {
            await abort(Array(open.keys))
            guard await areMerged(disks) else { throw await cause(of: error) }
        }
        try await prove(disks)
    }

    /// Of a guest that is off libvirt says that a call is no valid one, and a job is merely gone.
    private func cause(of failure: Failure) async -> Failure {
        guard [.internalError, .snapshotFailed].contains(failure.status),
            let state = try? await guest.call({ domain throws(LibvirtError) in try domain.state() }).state,
            state == .shutoff || state == .crashed
        else { return failure }
        return Failure(
            .snapshotFailed,
            "\(guest.domain.name) went off before its layers were merged; they stay and nothing is lost",
            hint: "stillpoint recover \(guest.domain.name), then merge again, with the guest on or off")
    }

    private func pivot(
        _ open: inout [String: Merge], hearing events: AsyncStream<Domain.BlockJobEvent>,
        since begin: ContinuousClock.Instant, _ options: MergeOptions, _ progress: @Sendable (MergeProgress) -> Void
    ) async throws(Failure) {
        let news = AsyncStream<Void>.makeStream()
        let listener = Task { for await _ in events { news.continuation.yield() } }
        // Events can be lost with the connection; half a second is also a fair beat for progress.
        let beat = Task {
            while !Task.isCancelled {
                news.continuation.yield()
                try? await Task.sleep(for: .milliseconds(500))
            }
        }
        defer {
            listener.cancel()
            beat.cancel()
        }
        for await _ in news.stream {
            if options.interruption?.status != nil {
                throw Failure(
                    options.interruption?.status ?? .interrupted, "stopped; the overlays stay and nothing is lost")
            }
            try await pivotWhatIsReady(&open, progress)
            if open.isEmpty { return }
            if let limit = options.limit, begin.duration(to: .now) > limit {
                let names = open.keys.sorted().joined(separator: " ")
                throw Failure(
                    .busy,
                    "\(names): the guest wrote faster than \(limit.forPeople) allowed to copy; the overlays stay",
                    hint: "try again at a quieter time, or with a longer --timeout")
            }
        }
    }

    private func pivotWhatIsReady(
        _ open: inout [String: Merge], _ progress: @Sendable (MergeProgress) -> Void
    ) async throws(Failure) {
        let definition = try DomainDefinition(
            xml: try await guest.run("look at the block jobs") { domain throws(LibvirtError) in try domain.xml() })
        for (target, disk) in open.sorted(by: { $0.key < $1.key }) {
            let job = try await guest.run("look at the block job of \(target)") { domain throws(LibvirtError) in
                try domain.blockJob(target)
            }
            guard let job else {
                if !disk.isHead, try await disks().contains(where: { isMerged(disk, by: $0) }) {
                    open[target] = nil
                    progress(MergeProgress(target: disk.target, done: 1, total: 1, isPivoted: true))
                    continue
                }
                throw Failure(
                    .snapshotFailed,
                    "the block job on \(target) ended by itself; \(disk.top) stays and nothing is lost",
                    hint: "is there room in the folder of \(disk.base)? else see QEMU's log of the guest")
            }
            progress(MergeProgress(target: disk.target, done: job.current, total: job.end, isPivoted: false))
            // cur == end comes before ready: pivoting then fails with "not ready for pivot yet".
            guard disk.isHead, definition.disks.first(where: { $0.facts.target == disk.target })?.hasReadyMirror == true
            else {
                continue
            }
            try await guest.run("switch \(target) back to \(disk.base)") { domain throws(LibvirtError) in
                try domain.blockJobAbort(target, .pivot)
            }
            open[target] = nil
            progress(MergeProgress(target: disk.target, done: job.end, total: job.end, isPivoted: true))
        }
    }

    /// From the middle of a chain a job ends by itself, and may have done so before it was to be stopped.
    private func areMerged(_ merges: [Merge]) async -> Bool {
        guard let now = try? await disks() else { return false }
        return merges.allSatisfy { disk in now.contains { $0.disagreement == nil && isMerged(disk, by: $0) } }
    }

    private func isMerged(_ disk: Merge, by facts: DiskFacts) -> Bool {
        guard facts.target == disk.target else { return false }
        let chain = facts.liveChain.map(\.path)
        return disk.isHead ? chain.first == disk.base : chain.contains(disk.base) && !chain.contains(disk.top)
    }

    private func abort(_ targets: [String]) async {
        for target in targets {
            // Without pivot the guest stays on its overlay, whole as before.
            _ = try? await guest.call { domain throws(LibvirtError) in try domain.blockJobAbort(target) }
        }
    }

    /// By QEMU's graph and both definitions, not by a return code.
    private func prove(_ merged: [Merge]) async throws(Failure) {
        let now = try await disks()
        for disk in merged {
            guard let facts = now.first(where: { $0.target == disk.target }) else { continue }
            if let quarrel = facts.disagreement { throw Failure(.quarantined, quarrel) }
            guard isMerged(disk, by: facts) else {
                throw Failure(.quarantined, "\(disk.target) did not switch from \(disk.top) to \(disk.base)")
            }
        }
    }
}
