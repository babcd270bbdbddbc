// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Glibc
import Quiesce

/// Turns Ctrl-C and its kin into a wish that the run takes up between two steps.
struct Signals {
    private let sources: [any DispatchSourceSignal]

    init(_ interruption: Interruption) {
        let queue = DispatchQueue(label: "signals")
        let wishes: [(CInt, ExitStatus)] = [(SIGINT, .interrupted), (SIGTERM, .terminated), (SIGHUP, .hungUp)]
        sources = wishes.map { number, status in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler { interruption.ask(status) }
            source.resume()
            return source
        }
    }
}
