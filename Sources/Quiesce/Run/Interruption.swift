// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Somebody wants the run to stop. The run looks at it between its steps; it never cancels a step that thaws.
public final class Interruption: Sendable {
    private struct Asked {
        var status: ExitStatus?
        var times = 0
    }
    private let asked = Mutex(Asked())

    public init() {}

    /// The first call decides the exit status; a second one only shortens waits.
    public func ask(_ status: ExitStatus) {
        asked.withLock { asked in
            asked.status = asked.status ?? status
            asked.times += 1
        }
    }

    public var status: ExitStatus? { asked.withLock { $0.status } }
    public var isImpatient: Bool { asked.withLock { $0.times > 1 } }

    public func check() throws(Failure) {
        if let status { throw Failure(status, "interrupted") }
    }
}
