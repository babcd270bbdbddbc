// SPDX-License-Identifier: Apache-2.0

import Libvirt
import Testing

@Suite("Domain")
struct DomainTests {
    @Test("its state follows destroy, create and shutdown")
    func state() throws {
        let guest = try TestNode.guest()
        #expect(try guest.state().state == .running)
        try guest.destroy()
        #expect(try guest.state().state == .shutoff)
        #expect(try !guest.isActive())
        #expect(try guest.isPersistent())
        try guest.create()
        #expect(try guest.state().state == .running)
        try guest.shutdown()
        #expect(try guest.state().state == .shutoff)
    }

    @Test("a call that does not fit the state says so")
    func wrongState() throws {
        let guest = try TestNode.guest()
        try guest.destroy()
        let error = try #require(throws: LibvirtError.self) { try guest.destroy() }
        #expect(error.code == .operationInvalid)
    }

    @Test("an undefined domain is gone")
    func undefine() throws {
        let guest = try TestNode.guest()
        try guest.destroy()
        try guest.undefine()
        #expect(throws: LibvirtError.self) { try guest.state() }
    }

    @Test("the running description has an id, the inactive one has none")
    func xml() throws {
        let guest = try TestNode.guest()
        #expect(try guest.xml().contains("<domain type='test' id="))
        #expect(try guest.xml([.inactive, .secure]).contains("<domain type='test'>"))
    }

    @Test("freeze and thaw count filesystems, all or the named")
    func freezeAndThaw() throws {
        let guest = try TestNode.guest()
        #expect(try guest.fsFreeze() == 2)
        #expect(try guest.fsThaw() == 2)
        #expect(try guest.fsFreeze(["/"]) == 1)
        #expect(try guest.fsThaw() == 1)
    }

    @Test("what the test driver cannot do is said to be so")
    func unsupported() throws {
        let guest = try TestNode.guest()
        let agent = try #require(throws: LibvirtError.self) {
            _ = try guest.agentCommand(#"{"execute":"guest-ping"}"#, timeoutSeconds: 1)
        }
        #expect(agent.code == .noSupport)
        #expect(agent.call == "virDomainQemuAgentCommand")
        let monitor = try #require(throws: LibvirtError.self) {
            _ = try guest.monitorCommand(#"{"execute":"query-block"}"#)
        }
        #expect(monitor.code == .noSupport)
        let commit = try #require(throws: LibvirtError.self) { try guest.blockCommit("vda", [.active, .shallow]) }
        #expect(commit.code == .noSupport)
    }

    @Test("metadata is kept for its namespace, replaced and removed")
    func metadata() throws {
        let guest = try TestNode.guest()
        let namespace = "https://example.org/ours"
        #expect(try guest.metadata(namespace: namespace) == nil)
        try guest.setMetadata("<run id='7'/>", namespace: namespace, prefix: "ours", [.live, .config])
        #expect(try guest.metadata(namespace: namespace, .config) == #"<run id="7"/>"#)
        #expect(try guest.metadata(namespace: "https://example.org/theirs") == nil)
        try guest.setMetadata(nil, namespace: namespace, prefix: "ours", [.live, .config])
        #expect(try guest.metadata(namespace: namespace, .live) == nil)
    }

    @Test("nothing saved, no checkpoints")
    func nothingInTheWay() throws {
        let guest = try TestNode.guest()
        #expect(try !guest.hasManagedSave())
        #expect(try guest.checkpointCount() == 0)
    }
}
