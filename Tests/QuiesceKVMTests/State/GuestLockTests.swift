// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("one process at a time changes a guest")
struct GuestLockTests {
    let scratch: ScratchFolder
    let time = ScriptedTime()
    var place: String { scratch("stillpoint/lock") }

    init() throws { scratch = try ScratchFolder() }

    @Test("a second one is told who holds the lock, and what for")
    func busy() async throws {
        let lock = try await GuestLock(of: .db01, in: place, for: "snapshot db01", time: time)
        let failure = await #expect(throws: Failure.self) {
            _ = try await GuestLock(of: .db01, in: place, for: "commit db01", time: time)
        }
        #expect(failure?.status == .busy)
        #expect(failure?.message == "db01 is busy: process \(getpid()): snapshot db01")
        lock.release()
    }

    @Test("a look at a lock says who holds it, and takes nothing")
    func holder() async throws {
        #expect(try GuestLock.holder(of: .db01, in: place) == nil)
        let lock = try await GuestLock(of: .db01, in: place, for: "snapshot db01", time: time)
        #expect(try GuestLock.holder(of: .db01, in: place) == "process \(getpid()): snapshot db01")
        lock.release()
        #expect(try GuestLock.holder(of: .db01, in: place) == nil)
        #expect(try GuestLock.holder(of: .web, in: place) == nil)
    }

    @Test("a lock that was given back stays out of the next holder's way")
    func givenBack() async throws {
        var first: GuestLock? = try await GuestLock(of: .db01, in: place, for: "snapshot", time: time)
        first?.release()
        let next = try await GuestLock(of: .db01, in: place, for: "commit", time: time)
        first = nil
        #expect(try GuestLock.holder(of: .db01, in: place) == "process \(getpid()): commit")
        next.release()
    }

    @Test("one that only looks keeps nobody out")
    func looker() async throws {
        try await GuestLock(of: .db01, in: place, for: "snapshot", time: time).release()
        let look = open("\(place)/\(GuestIdentity.db01.uuid)", O_RDONLY)
        try #require(look >= 0 && flock(look, LOCK_SH | LOCK_NB) == 0)
        time.afterSleeps(1) { close(look) }
        _ = try await GuestLock(of: .db01, in: place, for: "snapshot", time: time)
        #expect(time.slept == 1)
    }

    @Test("another guest is another lock")
    func independent() async throws {
        let one = try await GuestLock(of: .db01, in: place, for: "snapshot", time: time)
        let other = try await GuestLock(of: .web, in: place, for: "snapshot", time: time)
        one.release()
        other.release()
    }

    @Test("the lock is given back when it is let go")
    func released() async throws {
        for _ in 0..<2 { _ = try await GuestLock(of: .db01, in: place, for: "snapshot", time: time) }
    }

    @Test("one that waits gets the lock as soon as it is free")
    func waits() async throws {
        let lock = try await GuestLock(of: .db01, in: place, for: "snapshot", time: time)
        time.afterSleeps(3) { lock.release() }
        _ = try await GuestLock(of: .db01, in: place, for: "commit", waiting: .seconds(30), time: time)
        #expect(time.slept == 3)
    }

    @Test("one that waits gives up at its limit")
    func limit() async throws {
        let lock = try await GuestLock(of: .db01, in: place, for: "snapshot", time: time)
        let start = time.now
        let failure = await #expect(throws: Failure.self) {
            _ = try await GuestLock(of: .db01, in: place, for: "commit", waiting: .milliseconds(250), time: time)
        }
        #expect(failure?.status == .busy)
        #expect(start.duration(to: time.now) == .milliseconds(250))
        lock.release()
    }

    @Test("one that waits and is cancelled stops waiting")
    func cancelled() async throws {
        let lock = try await GuestLock(of: .db01, in: place, for: "snapshot", time: time)
        let (place, time) = (place, time)
        let waiter = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            _ = try await GuestLock(of: .db01, in: place, for: "commit", waiting: .seconds(30), time: time)
        }
        let failure = await #expect(throws: Failure.self) { try await waiter.value }
        #expect(failure?.status == .interrupted)
        lock.release()
    }

    @Test("the kernel gives back the lock of a process that was killed")
    func killed() async throws {
        let place = place
        await #expect(processExitsWith: .signal(SIGKILL)) { [place = place as String] in
            let lock = try await GuestLock(of: .db01, in: place, for: "snapshot", time: ScriptedTime())
            kill(getpid(), SIGKILL)
            lock.release()
        }
        #expect(exists("\(place)/\(GuestIdentity.db01.uuid)"))
        _ = try await GuestLock(of: .db01, in: place, for: "snapshot", time: time)
    }

    @Test("only a UUID becomes a file's name", arguments: ["", "../x", "db01", "0f0e0d0c-0b0a-4908-8706-05040302010/"])
    func uuid(text: String) async throws {
        let guest = GuestIdentity(name: "db01", uuid: text, uri: "qemu:///system")
        await #expect(throws: Failure.self) { _ = try await GuestLock(of: guest, in: place, for: "x", time: time) }
        #expect(throws: Failure.self) { try GuestLock.holder(of: guest, in: place) }
        #expect(!exists(place))
    }

    @Test("members of the group libvirt share root's locks", .enabled(if: geteuid() == 0 && getgrnam("libvirt") != nil))
    func group() async throws {
        _ = try await GuestLock(of: .db01, in: place, for: "snapshot", time: time)
        #expect(try scratch.mode("stillpoint/lock") == 0o2770)
        #expect(try scratch.mode("stillpoint/lock/\(GuestIdentity.db01.uuid)") == 0o660)
    }

    @Test("locks belong to the connection, not to the user's state folder")
    func folders() throws {
        let state = try StateFolder(scratch("state"))
        #expect(GuestLock.folder(of: "qemu:///system", state: state) == "/run/stillpoint/lock")
        #expect(GuestLock.folder(of: "qemu:///system?socket=/x", state: state) == "/run/stillpoint/lock")
        #expect(GuestLock.folder(of: "qemu:///session", state: state) { _ in nil } == scratch("state/lock"))
    }
}

/// A clock that moves only when somebody sleeps.
final class ScriptedTime: Time {
    private struct State {
        var now = ContinuousClock.now
        var slept = 0
        var events: [Int: @Sendable () -> Void] = [:]
    }

    private let state = Mutex(State())

    var now: ContinuousClock.Instant { state.withLock { $0.now } }
    var wall: Timestamp { .cut }
    var slept: Int { state.withLock { $0.slept } }

    func afterSleeps(_ count: Int, _ event: @escaping @Sendable () -> Void) {
        state.withLock { $0.events[count] = event }
    }

    func sleep(until instant: ContinuousClock.Instant) async {
        let event = state.withLock { state in
            state.now = max(state.now, instant)
            state.slept += 1
            return state.events[state.slept]
        }
        event?()
    }
}
