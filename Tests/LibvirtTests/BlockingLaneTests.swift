// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Libvirt
import Testing

@Suite("Blocking lane")
struct BlockingLaneTests {
    @Test("a lane runs while 49 others hang", .timeLimit(.minutes(1)))
    func rescueIsNotStarved() async {
        let hanging = DispatchSemaphore(value: 0)
        let gate = DispatchSemaphore(value: 0)
        await withTaskGroup(of: Void.self) { group in
            for number in 1...49 {
                group.addTask {
                    await BlockingLane(label: "guest \(number)").run {
                        hanging.signal()
                        gate.wait()
                    }
                }
            }
            // Opens the gate only once it has seen all the others stand before it.
            await BlockingLane(label: "rescue").run {
                for _ in 1...49 { hanging.wait() }
                for _ in 1...49 { gate.signal() }
            }
        }
    }

    @Test("what is given to one lane is done in order")
    func order() async {
        let lane = BlockingLane(label: "one")
        let started = DispatchSemaphore(value: 0)
        let gate = DispatchSemaphore(value: 0)
        async let first = lane.run { () -> DispatchTime in
            started.signal()
            gate.wait()
            return .now()
        }
        await BlockingLane(label: "other").run { started.wait() }
        async let second = lane.run { DispatchTime.now() }
        gate.signal()
        let (firstEnd, secondStart) = await (first, second)
        #expect(firstEnd <= secondStart)
    }

    @Test("an error comes out as what it is")
    func typedError() async throws {
        let connection = try TestNode.connect()
        do throws(LibvirtError) {
            _ = try await BlockingLane(label: "guest").run { () throws(LibvirtError) in
                try connection.domain(named: "nobody")
            }
            Issue.record("found a domain nobody defined")
        } catch {
            #expect(error.code == .noDomain)
        }
    }

    @Test("two lanes that fail differently at once never read each other's error")
    func errorsStayOnTheirThread() async throws {
        let guest = try TestNode.guest()
        async let unknown = BlockingLane(label: "lookup").run {
            (1...500).map { number in Self.error { _ = try guest.snapshot(named: "none\(number)") } }
        }
        async let refused = BlockingLane(label: "agent").run {
            (1...500).map { _ in Self.error { _ = try guest.agentCommand("{}", timeoutSeconds: 1) } }
        }
        for (number, error) in zip(1..., await unknown) {
            #expect(error?.code == .noDomainSnapshot)
            #expect(error?.message.contains("'none\(number)'") == true)
        }
        for error in await refused { #expect(error?.code == .noSupport) }
    }

    private static func error(_ body: () throws -> Void) -> LibvirtError? {
        do {
            try body()
            return nil
        } catch {
            return error as? LibvirtError
        }
    }
}
