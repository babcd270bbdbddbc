// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import Synchronization

/// What happens now, on stderr: one line that changes on a terminal, one line a step elsewhere.
final class Progress: Sendable {
    private let name: String
    private let isQuiet: Bool
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let merges = Mutex<[DiskTarget: Pace]>([:])

    /// How far a merge had come when it was first heard of, and when.
    private struct Pace {
        var begin: ContinuousClock.Instant
        var first: UInt64
        var tenth: UInt64

        /// Bytes a second and seconds left; nil until there is something to tell by.
        func forecast(_ progress: MergeProgress, at now: ContinuousClock.Instant) -> (rate: UInt64, left: UInt64)? {
            let time = begin.duration(to: now).inMilliseconds
            guard time >= 500, progress.done > first, progress.total >= progress.done else { return nil }
            let rate = (progress.done - first) / UInt64(time) * 1000
            return rate > 0 ? (rate, (progress.total - progress.done) / rate) : nil
        }
    }

    init(_ name: String, quiet: Bool) {
        self.name = name
        isQuiet = quiet
    }

    func hear(_ event: RunEvent) {
        switch event {
        case .began(let phase): show(Self.words(phase))
        case .note(let text): note(text)
        case .doing(let text): show(text)
        case .merging(let progress): hear(progress)
        case .saving(let progress):
            show(
                "saving the memory: \(ByteCount(Int64(clamping: progress.done))) of \(ByteCount(Int64(clamping: progress.total)))"
            )
        }
    }

    func show(_ text: String) {
        guard !isQuiet else { return }
        Terminal.remark(isTerminal ? "\r\u{1B}[K\(name): \(text)" : "\(name): \(text)\n")
    }

    func note(_ text: String) {
        Terminal.remark("\(isTerminal ? "\r\u{1B}[K" : "")\(name): \(text)\n")
    }

    func clear() {
        if isTerminal, !isQuiet { Terminal.remark("\r\u{1B}[K") }
    }

    private func hear(_ progress: MergeProgress) {
        let tenth = progress.total == 0 ? 0 : progress.done / max(1, progress.total / 10)
        let now = ContinuousClock.now
        let (isNews, forecast) = merges.withLock { known in
            var pace = known[progress.target] ?? Pace(begin: now, first: progress.done, tenth: .max)
            let isNews = pace.tenth != tenth
            pace.tenth = tenth
            known[progress.target] = progress.isPivoted ? nil : pace
            return (isNews, pace.forecast(progress, at: now))
        }
        func size(_ bytes: UInt64) -> String { "\(ByteCount(Int64(clamping: bytes)))" }
        if progress.isPivoted {
            show("\(progress.target) merged")
        } else if isNews || isTerminal {
            let pace = forecast.map { ", \(size($0.rate))/s, \(Duration.seconds($0.left).forPeople) left" } ?? ""
            show("merging \(progress.target): \(size(progress.done)) of \(size(progress.total))\(pace)")
        }
    }

    private static func words(_ phase: Phase) -> String {
        switch phase {
        case .preflight: "looking"
        case .stage: "making the overlays"
        case .shutdown: "shutting the guest down"
        case .start: "starting the guest again"
        case .prepare: "preparing the guest: hooks, sync"
        case .preFreeze: "holding the applications, freezing, cutting"
        case .postThaw: "releasing the applications"
        case .freeze: "freezing"
        case .cut: "cutting"
        case .thaw: "thawing"
        case .register: "registering with libvirt"
        case .verify: "verifying"
        case .undo: "taking the snapshot back"
        }
    }
}
