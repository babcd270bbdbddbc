// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Testing

@testable import Libvirt

// The test driver's default host is shared by its connections and forgotten with the last of them: a reference kept by
// mistake shows as a domain that is still off. No other test may hold this host open for writing.
@Suite("Lifetime")
struct LifetimeTests {
    private static func open() throws -> Domain {
        try Connection(uri: "test:///default").domain(named: "test")
    }

    @Test("a connection stays for the domain that came from it and goes with the last handle")
    func lastReference() throws {
        for _ in 1...100 {
            try useEverything()
            drain()
            let isActive = try Self.open().isActive()
            drain()
            #expect(isActive)
        }
    }

    // Twice: ending a registration can drop the last reference, which then stands in the queue behind the first.
    private func drain() {
        Library.release.sync {}
        Library.release.sync {}
    }

    private func useEverything() throws {
        let domain = try Self.open()
        try domain.createSnapshot(xml: "<domainsnapshot/>", [])
        #expect(try domain.snapshots().count == 1)
        #expect(try domain.currentSnapshot()?.parentName() == nil)
        _ = try domain.lifecycleEvents()
        // Before anything happens: libvirt keeps a registration, and the connection with it, while it delivers an event.
        drain()
        _ = try domain.connection.domains()
        try domain.destroy()
        // Another connection sees the same host as long as one is open.
        #expect(try Self.open().isActive() == false)
    }
}
