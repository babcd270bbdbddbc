// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import Synchronization

extension Tool {
    /// What can be seen of a program while it runs.
    struct Signs: Sendable {
        var process: pid_t?
        /// The end of what it wrote to standard output.
        var output: ArraySlice<UInt8> = []

        /// How far qemu-img says that it is, 0 to 100: `(12.34/100%)` and a carriage return, again and again.
        var percent: Double? { Self.percent(in: String(decoding: output.suffix(64), as: UTF8.self)) }

        /// The last one that was told whole.
        static func percent(in text: String) -> Double? {
            let told = text.split(separator: "(").last { $0.contains("/100%") }
            let percent = told.flatMap { Double($0.prefix { $0 != "/" }) }
            return percent.flatMap { $0.isNaN ? nil : min(max($0, 0), 100) }
        }
    }

    /// Runs what may take hours: it ends when we are killed, and soon after somebody wants to stop, which the caller looks at
    /// first. The result has the end of what it wrote.
    ///
    /// - Parameter look: is shown every half second what can be seen of it.
    func watched(
        _ arguments: [String], until interruption: Interruption?, deadline: ContinuousClock.Instant,
        _ look: @escaping @Sendable (Signs) -> Void
    ) async throws(ToolError) -> ToolResult {
        let sight = Sight()
        let work = Task {
            try await run(
                arguments, started: { process in sight.signs.withLock { $0.process = process } },
                hearing: { piece in sight.signs.withLock { $0.output = ($0.output + piece).suffix(16 << 10) } },
                deadline: deadline)
        }
        let watch = Task {
            for tick in 1... {
                try await Task.sleep(for: .milliseconds(50))
                if interruption?.status != nil { return work.cancel() }
                if tick % 10 == 0 { look(sight.signs.withLock { $0 }) }
            }
        }
        let ended = await work.result
        watch.cancel()
        switch ended {
        case .success(var result):
            result.output = Array(sight.signs.withLock { $0.output })
            return result
        case .failure(let error as ToolError): throw error
        case .failure(let error): throw .failedToStart(program: name, reason: "\(error)")
        }
    }
}

private final class Sight: Sendable {
    let signs = Mutex(Tool.Signs())
}
