// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Libvirt

@Suite(
    "A real QEMU", .serialized, .timeLimit(.minutes(2)),
    .enabled(if: EmbeddedQEMU.connection != nil, "needs root, QEMU and libvirt's embedded driver"))
struct QEMUTests {
    @Test("both disks move to the prepared overlays at once, QEMU and the description agree")
    func cut() async throws {
        try await EmbeddedQEMU.run { qemu in
            #expect(try !qemu.graph().contains(qemu.overlay("vda")))
            try qemu.cut()
            let (graph, xml) = (try qemu.graph(), try qemu.guest.xml())
            for overlay in [qemu.overlay("vda"), qemu.overlay("vdb")] {
                #expect(graph.contains(overlay))
                #expect(xml.contains("<source file='\(overlay)'"))
            }
            #expect(try qemu.guest.snapshots().isEmpty)
        }
    }

    @Test("a missing overlay fails the cut as a whole")
    func atomic() async throws {
        try await EmbeddedQEMU.run { qemu in
            let xml = """
                <domainsnapshot><disks>
                  <disk name='vda' snapshot='external'><source file='\(qemu.overlay("vda"))'/></disk>
                  <disk name='vdb' snapshot='no'/>
                </disks></domainsnapshot>
                """
            #expect(throws: LibvirtError.self) {
                try qemu.guest.createSnapshot(xml: xml, [.diskOnly, .atomic, .reuseExternal, .noMetadata])
            }
            let graph = try qemu.graph()
            #expect(!graph.contains(qemu.overlay("vda")))
        }
    }

    @Test("an active commit becomes ready, is pivoted, and the base is the disk again")
    func commit() async throws {
        try await EmbeddedQEMU.run { qemu in
            try qemu.cut()
            #expect(try qemu.guest.blockJob("vda") == nil)
            var events = try qemu.guest.blockJobEvents().makeAsyncIterator()
            try qemu.guest.blockCommit("vda", bandwidth: 1 << 30, [.active, .shallow])
            #expect(await events.next() == .init(disk: "vda", kind: .activeCommit, status: .ready))
            try qemu.guest.blockJobSetSpeed("vda", bandwidth: 1 << 20)
            let job = try #require(try qemu.guest.blockJob("vda"))
            #expect(job.kind == .activeCommit)
            #expect(job.bandwidth == 1 << 20)
            try qemu.guest.blockJobAbort("vda", .pivot)
            #expect(await events.next() == .init(disk: "vda", kind: .activeCommit, status: .completed))
            #expect(try qemu.guest.blockJob("vda") == nil)
            let xml = try qemu.guest.xml()
            #expect(xml.contains("<source file='\(qemu.base("vda"))'"))
            #expect(!xml.contains(qemu.overlay("vda")))
            #expect(xml.contains("<source file='\(qemu.overlay("vdb"))'"))
        }
    }

    @Test("a commit that is called off leaves the overlay in place")
    func abort() async throws {
        try await EmbeddedQEMU.run { qemu in
            try qemu.cut()
            var events = try qemu.guest.blockJobEvents().makeAsyncIterator()
            try qemu.guest.blockCommit("vdb", base: qemu.base("vdb"), top: nil, [.active])
            #expect(await events.next()?.status == .ready)
            try qemu.guest.blockJobAbort("vdb", .async)
            #expect(await events.next()?.status == .canceled)
            #expect(try qemu.guest.xml().contains("<source file='\(qemu.overlay("vdb"))'"))
        }
    }

    @Test("a snapshot registered afterwards is listed, and forgetting it joins its child to its parent")
    func register() async throws {
        try await EmbeddedQEMU.run { qemu in
            try qemu.cut()
            let definition = try qemu.guest.xml([.inactive, .secure])
            var parent = ""
            for name in ["one", "two", "three"] {
                let xml = """
                    <domainsnapshot><name>\(name)</name><state>disk-snapshot</state>\(parent)
                    <creationTime>1700000000</creationTime><memory snapshot='no'/><disks>
                    <disk name='vda' snapshot='external'><source file='\(qemu.overlay("vda"))'/></disk>
                    </disks>\(definition)</domainsnapshot>
                    """
                try qemu.guest.createSnapshot(xml: xml, [.redefine, .current])
                parent = "<parent><name>\(name)</name></parent>"
            }
            #expect(try qemu.guest.currentSnapshot()?.name == "three")
            try qemu.guest.snapshot(named: "two").deleteMetadata()
            #expect(try qemu.guest.snapshots().map(\.name) == ["one", "three"])
            #expect(try qemu.guest.snapshot(named: "three").parentName() == "one")
            for snapshot in try qemu.guest.snapshots() { try snapshot.deleteMetadata() }
        }
    }

    @Test("an agent that is not there is unresponsive, one that cannot be there is an invalid question")
    func agent() async throws {
        try await EmbeddedQEMU.run { qemu in
            func ask() throws -> LibvirtError {
                try #require(throws: LibvirtError.self) {
                    // -2 is libvirt's "wait for ever".
                    _ = try qemu.guest.agentCommand(#"{"execute":"guest-ping"}"#, timeoutSeconds: -2)
                }
            }
            #expect(try ask().code == .agentUnresponsive)
            try qemu.guest.destroy()
            #expect(try ask().code == .operationInvalid)
        }
    }

    @Test("what QEMU refuses is a reply, not an error")
    func monitorRefusal() async throws {
        try await EmbeddedQEMU.run { qemu in
            let reply = try qemu.guest.monitorCommand(#"{"execute":"no-such-command"}"#)
            #expect(reply.contains("CommandNotFound"))
        }
    }

    @Test("a guest started paused is paused until resumed, has no job, and its disk its size")
    func paused() async throws {
        try await EmbeddedQEMU.run(paused: true) { qemu in
            #expect(try qemu.guest.state().state == .paused)
            #expect(try qemu.guest.job() == nil)
            #expect(try qemu.guest.blockInfo("vda").capacity == 16 << 20)
            try qemu.guest.resume()
            #expect(try qemu.guest.state().state == .running)
        }
    }
}
