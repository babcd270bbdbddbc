// SPDX-License-Identifier: Apache-2.0

import Libvirt
import Testing

@Suite("Snapshot")
struct SnapshotTests {
    private static func xml(_ name: String, extra: String = "") -> String {
        "<domainsnapshot><name>\(name)</name>\(extra)</domainsnapshot>"
    }

    @Test("flags the driver does not take are refused by number, nothing is kept")
    func diskOnlyRefused() throws {
        let guest = try TestNode.guest()
        let error = try #require(throws: LibvirtError.self) {
            try guest.createSnapshot(xml: Self.xml("one"), [.diskOnly, .atomic, .reuseExternal])
        }
        #expect(error.code == .invalidArgument)
        #expect(error.message.contains("unsupported flags (0x30)"))
        #expect(try guest.snapshots().isEmpty)
    }

    @Test("snapshots are listed parents first, the newest is current, each knows its parent")
    func tree() throws {
        let guest = try TestNode.guest()
        #expect(try guest.currentSnapshot() == nil)
        for name in ["one", "two", "three"] { try guest.createSnapshot(xml: Self.xml(name), []) }
        #expect(try guest.snapshots().map(\.name) == ["one", "two", "three"])
        #expect(try guest.currentSnapshot()?.name == "three")
        #expect(try guest.snapshot(named: "two").parentName() == "one")
        #expect(try guest.snapshot(named: "one").parentName() == nil)
        #expect(try guest.snapshot(named: "two").xml().contains("<name>two</name>"))
    }

    @Test("an unknown snapshot is a kind of its own")
    func unknown() throws {
        let guest = try TestNode.guest()
        let error = try #require(throws: LibvirtError.self) { _ = try guest.snapshot(named: "none") }
        #expect(error.code == .noDomainSnapshot)
    }

    @Test("a redefinition is kept, becomes current and takes nothing")
    func redefine() throws {
        let guest = try TestNode.guest()
        let first = try guest.createSnapshot(xml: Self.xml("one"), [])
        let moved = try first.xml(secure: true).replacing("<name>one</name>", with: "<name>imported</name>")
        try guest.createSnapshot(xml: moved, [.redefine, .current])
        #expect(try guest.currentSnapshot()?.name == "imported")
        #expect(try guest.snapshots().count == 2)
    }
}
