// SPDX-License-Identifier: Apache-2.0

// stillpoint-guard URI UUID: thaws one guest when the run that started it dies or is late, and goes on until a thaw reply
// proves it. It is started before the freeze, by the run, with these descriptors and no others:
//   0 1 2  /dev/null
//   3      a socket to the run: "ready" from here; "freeze MILLISECONDS" and "done" from there, a line each
//   4      the file that keeps its last word, opened before the freeze
//   5      the guest's lock, so that nobody begins another run before this one is thawed, or a minute is over
// It has no parser: of the agent's reply it knows the first bytes.

import Glibc
import Libvirt

let socket: CInt = 3
let note: CInt = 4
let lock: CInt = 5

// A leaked descriptor can keep a pipe or a socket of the run's open, and so delay somebody's end of file.
closeAll(from: 6)
for number in [SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT] { signal(number, SIG_IGN) }
// The OOM killer takes others first; without the right to ask for that it does as with everybody.
let score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)
if score >= 0 {
    _ = write(score, "-999", 4)
    close(score)
}

func closeAll(from first: CInt) {
    guard let folder = opendir("/proc/self/fd") else { return }
    var open: [CInt] = []
    while let entry = readdir(folder) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { atoi($0) }
        }
        if name >= first { open.append(name) }
    }
    closedir(folder)
    for descriptor in open { close(descriptor) }
}

func say(_ text: StaticString, on descriptor: CInt) {
    _ = text.withUTF8Buffer { write(descriptor, $0.baseAddress, $0.count) }
}

guard CommandLine.arguments.count == 3 else { exit(64) }
let place = CommandLine.arguments[1]
let uuid = CommandLine.arguments[2]

func connect() throws(LibvirtError) -> Domain {
    let connection = try Connection(uri: place)
    try connection.setKeepAlive(interval: 2, count: 2)
    return try connection.domain(uuid)
}

var domain: Domain
do throws(LibvirtError) {
    domain = try connect()
} catch {
    exit(69)
}
// Tested with the agent itself: a connection that does not reach it would thaw nothing.
guard case .done = domain.agentAnswer(to: #"{"execute":"guest-ping"}"#, timeoutSeconds: 5) else { exit(69) }
say("ready\n", on: socket)

var watch = Watch(socket: socket)
let cause = watch.wait()
guard cause != .dismissed else { exit(0) }

// A freeze of the run's can still wait in libvirt while somebody else has the agent. The first answer lets it go before the
// second thaw; so a thaw that found nothing proves that nothing is to come if it did not have to wait, twice, past the deadline.
var idle = 0
// Longer than libvirt lets anybody wait for the agent, which is half a minute.
let longest = 60
var holdsLock = true
var pause: useconds_t = 100_000
while true {
    let (asked, before) = (Watch.now(), idle)
    // In a row: a thaw that failed may have waited behind whoever has the agent.
    idle = 0
    switch domain.agentAnswer(to: #"{"execute":"guest-fsfreeze-thaw"}"#, timeoutSeconds: 5) {
    case .done(isZero: true):
        if watch.isPast(), Watch.now() - asked < 2000 { idle = before + 1 }
        if idle == 2 || watch.isPast(by: longest) { leave("thaw confirmed, nothing was frozen\n") }
        if idle == 1 { pause = 1_000_000 }
    case .done(isZero: false):
        leave("thaw confirmed\n")
    case .failed(_, isOfConnection: true):
        // The daemon went away; the next one knows the guest again.
        do throws(LibvirtError) { domain = try connect() } catch  where error.code == .noDomain {
            leave("the guest is gone\n")
        } catch {}
    case .failed(.noDomain, _):
        leave("the guest is gone\n")
    case .failed:
        // A guest that is switched off has nothing frozen.
        do throws(LibvirtError) { if try !domain.isActive() { leave("the guest is gone\n") } } catch {}
    }
    // What cannot be thawed for so long must not keep others from seeing to it.
    if holdsLock, watch.isPast(by: longest) {
        close(lock)
        holdsLock = false
    }
    usleep(pause)
    pause = min(pause * 2, 1_000_000)
}

func leave(_ word: StaticString) -> Never {
    say(cause == .late ? "late: " : "orphaned: ", on: note)
    say(word, on: note)
    fsync(note)
    exit(0)
}
