// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import Synchronization

/// What happens now, on stderr: one line that changes on a terminal, one line a step elsewhere.
final class Progress: Sendable {
    private let name: String
    private let isQuiet: Bool
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let lastTenth = Mutex<[DiskTarget: UInt64]>([:])

    init(_ name: String, quiet: Bool) {
        self.name = name
        isQuiet = quiet
    }

    func hear(_ event: RunEvent) {
        switch event {
        case .began(let phase): show(Self.words(phase))
        case .note(let text): note(text)
        case .merging(let progress): hear(progress)
        case .saving(let progress):
            show(
                "saving the memory: \(ByteCount(Int64(clamping: progress.done))) of \(ByteCount(Int64(clamping: progress.total)))"
            )
        }
    }

    func show(_ text: String) {
        guard !isQuiet else { return }
        Terminal.complain(isTerminal ? "\r\u{1B}[K\(name): \(text)" : "\(name): \(text)\n")
    }

    func note(_ text: String) {
        Terminal.complain("\(isTerminal ? "\r\u{1B}[K" : "")\(name): \(text)\n")
    }

    func clear() {
        if isTerminal, !isQuiet { Terminal.complain("\r\u{1B}[K") }
    }

    private func hear(_ progress: MergeProgress) {
        let tenth = progress.total == 0 ? 0 : (progress.done * 10) / progress.total
        let isNews = lastTenth.withLock { known in
            defer { known[progress.target] = tenth }
            return known[progress.target] != tenth
        }
        if progress.isPivoted {
            show("\(progress.target) merged")
        } else if isNews || isTerminal {
            show(
                "merging \(progress.target): \(ByteCount(Int64(clamping: progress.done))) of \(ByteCount(Int64(clamping: progress.total)))"
            )
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
