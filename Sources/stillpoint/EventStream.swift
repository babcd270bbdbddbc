// SPDX-License-Identifier: Apache-2.0

import Quiesce
import QuiesceKVM
import Synchronization

/// `--json-stream`: one event a line, numbered, with its time since the run began.
final class EventStream: Sendable {
    private struct Line: Encodable {
        var schema = "stillpoint.event/v1"
        var run: String
        var seq: Int
        var tMs: Int64
        var event: String
        var phase: Phase?
        var text: String?
        var target: DiskTarget?
        var done: UInt64?
        var total: UInt64?
    }

    private let run: RunID
    private let begin: ContinuousClock.Instant
    private let count = Mutex(0)

    init(_ run: RunID, since begin: ContinuousClock.Instant) {
        self.run = run
        self.begin = begin
    }

    func hear(_ event: RunEvent, at now: ContinuousClock.Instant) {
        let number = count.withLock { count in
            count += 1
            return count
        }
        var line = Line(run: run.description, seq: number, tMs: begin.duration(to: now).inMilliseconds, event: "")
        switch event {
        case .began(let phase): (line.event, line.phase) = ("phase", phase)
        case .note(let text): (line.event, line.text) = ("note", text)
        case .doing(let text): (line.event, line.text) = ("doing", text)
        case .merging(let progress):
            (line.event, line.target) = ("merging", progress.target)
            (line.done, line.total) = (progress.done, progress.total)
        case .saving(let progress):
            (line.event, line.done, line.total) = ("saving", progress.done, progress.total)
        }
        if let text = try? JSONText.of(line, pretty: false) { Terminal.write(text + "\n") }
    }
}
