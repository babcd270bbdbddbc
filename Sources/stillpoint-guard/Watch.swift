// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Waits on the run's socket for what makes the guardian act.
struct Watch {
    enum Cause { case dismissed, late, orphaned }

    let socket: CInt
    private var deadline: Int?

    init(socket: CInt) { self.socket = socket }

    /// Whether the deadline has passed, and that long ago: seconds.
    func isPast(by seconds: Int = 0) -> Bool { deadline.map { $0 + seconds * 1000 <= Self.now() } ?? true }

    /// Returns when the run says that nothing is frozen any more, when its deadline passes, or when it is gone after it
    /// has said that it freezes.
    mutating func wait() -> Cause {
        var line = 0
        var digits = false
        while true {
            var waiting = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            let left = deadline.map { max(0, $0 - Self.now()) } ?? -1
            let found = poll(&waiting, 1, CInt(clamping: left))
            if found == 0 { return .late }
            if found < 0 { continue }
            var byte: UInt8 = 0
            let got = read(socket, &byte, 1)
            if got < 0, errno == EINTR { continue }
            // The end of the file: the run is gone. Before it said that it freezes there is nothing to thaw.
            guard got == 1 else { return deadline == nil ? .dismissed : .orphaned }
            switch byte {
            case UInt8(ascii: "d"): return .dismissed
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                digits = true
                line = min(line, 1_000_000) * 10 + Int(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "\n"):
                if digits { deadline = Self.now() + line }
                (line, digits) = (0, false)
            default: break
            }
        }
    }

    /// Milliseconds that only grow.
    static func now() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }
}
