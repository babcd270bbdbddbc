// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import Synchronization

/// What happens now, on stderr: one line that changes on a terminal, one line a step elsewhere.
final class Progress: Sendable {
    private let name: String
    private let isQuiet: Bool
    private let isVerbose: Bool
    private let begin = ContinuousClock.now
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let paces = Mutex<[String: Pace]>([:])

    /// How far the work on a disk had come when it was first heard of, and when.
    private struct Pace {
        var begin: ContinuousClock.Instant
        var first: UInt64
        var tenth: UInt64

        /// Bytes a second and seconds left; nil until there is something to tell by.
        func forecast(
            _ done: UInt64, of total: UInt64, at now: ContinuousClock.Instant
        ) -> (rate: UInt64, left: UInt64)? {
            let time = begin.duration(to: now).inMilliseconds
            guard time >= 500, done > first, total >= done else { return nil }
            let rate = (done - first) / UInt64(time) * 1000
            return rate > 0 ? (rate, (total - done) / rate) : nil
        }
    }

    init(_ name: String, _ general: GeneralOptions) {
        self.name = name
        isQuiet = general.quiet
        isVerbose = general.verbose
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
        if isVerbose {
            let time = begin.duration(to: .now).inMilliseconds
            Terminal.remark("\(name): \(time / 1000).\(String(time % 1000 + 1000).dropFirst()) s \(text)\n")
            return
        }
        Terminal.remark(isTerminal ? "\r\u{1B}[K\(name): \(text)" : "\(name): \(text)\n")
    }

    func note(_ text: String) {
        Terminal.remark("\(isTerminal ? "\r\u{1B}[K" : "")\(name): \(text)\n")
    }

    func clear() {
        if isTerminal, !isQuiet { Terminal.remark("\r\u{1B}[K") }
    }

    func hear(_ progress: CopyProgress) {
        let work = "\(progress.step.rawValue) \(progress.target)"
        show(work, progress.done, of: progress.total)
    }

    private func hear(_ progress: MergeProgress) {
        let work = "merging \(progress.target)"
        if progress.isPivoted {
            paces.withLock { $0[work] = nil }
            show("\(progress.target) merged")
        } else {
            show(work, progress.done, of: progress.total)
        }
    }

    /// Each time on a terminal, at each tenth elsewhere.
    private func show(_ work: String, _ done: UInt64, of total: UInt64) {
        let tenth = total == 0 ? 0 : done / max(1, total / 10)
        let now = ContinuousClock.now
        let (isNews, forecast) = paces.withLock { known in
            var pace = known[work] ?? Pace(begin: now, first: done, tenth: .max)
            let isNews = pace.tenth != tenth
            pace.tenth = tenth
            known[work] = pace
            return (isNews, pace.forecast(done, of: total, at: now))
        }
        guard isNews || isTerminal else { return }
        func size(_ bytes: UInt64) -> String { "\(ByteCount(Int64(clamping: bytes)))" }
        guard total > 0 else { return show(work) }
        let pace = forecast.map { ", \(size($0.rate))/s, \(Duration.seconds($0.left).forPeople) left" } ?? ""
        show("\(work): \(size(done)) of \(size(total))\(pace)")
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
