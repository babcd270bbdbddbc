// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Libvirt

@Suite("Events")
struct EventTests {
    @Test("stop and start are heard in order, none between registering and reading is lost", .timeLimit(.minutes(1)))
    func lifecycle() async throws {
        let guest = try TestNode.guest()
        let events = try guest.lifecycleEvents()
        try guest.destroy()
        try guest.create()
        var heard: [Domain.LifecycleEvent.Kind] = []
        for await event in events.prefix(2) { heard.append(event.kind) }
        #expect(heard == [.stopped, .started])
    }

    @Test("a stream hears its own domain alone", .timeLimit(.minutes(1)))
    func oneDomain() async throws {
        let connection = try TestNode.connect()
        let other = try connection.define(xml: TestNode.domainXML(name: "other"))
        let events = try other.lifecycleEvents()
        try connection.domain(named: "guest").destroy()
        try other.create()
        var reader = events.makeAsyncIterator()
        #expect(await reader.next()?.kind == .started)
    }

    @Test("a cancelled reader ends", .timeLimit(.minutes(1)))
    func cancelled() async throws {
        let guest = try TestNode.guest()
        let events = try guest.agentEvents()
        let reader = Task {
            for await _ in events {}
        }
        reader.cancel()
        await reader.value
    }

    @Test("events can be had of block jobs and the agent from any driver that has events")
    func otherKinds() throws {
        let guest = try TestNode.guest()
        _ = try guest.blockJobEvents()
        _ = try guest.agentEvents()
    }

    @Test("a broken connection ends its streams, also one registered as it broke", .timeLimit(.minutes(1)))
    func broken() async throws {
        let guest = try TestNode.guest()
        let events = try guest.blockJobEvents()
        try guest.destroy()
        guest.connection.streams.endAll()
        for await _ in events {}
        for await _ in try guest.lifecycleEvents() {}
    }
}
