// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("Overlay names")
struct OverlayNamesTests {
    private func overlays(_ paths: String..., files: [DiskTarget: String] = [:]) throws -> (OverlayNames, [String?]) {
        let disks = try zip(["vda", "vdb", "vdc"], paths).map { try Sample.disk($0, $1) }
        let names = OverlayNames(for: disks, named: try Sample.name(), files: files)
        return (names, disks.map { names.path(for: $0.target) })
    }

    @Test(
        "the last suffix is replaced by the snapshot's name, as libvirt does",
        arguments: [
            ("/srv/kvm/db01.qcow2", "/srv/kvm/db01.nightly"),
            ("/srv/kvm/db01", "/srv/kvm/db01.nightly"),
            ("/srv/kvm/db01.20261121-223105", "/srv/kvm/db01.nightly"),
            ("/srv/kvm/db.v1.2.img", "/srv/kvm/db.v1.2.nightly"),
            ("/srv/kvm.d/db01", "/srv/kvm.d/db01.nightly"),
            ("/srv/kvm/my guest.img", "/srv/kvm/my guest.nightly"),
            ("/srv/kvm/-rf.img", "/srv/kvm/-rf.nightly"),
            ("/srv/kvm/a'b,c&d.img", "/srv/kvm/a'b,c&d.nightly"),
            ("/db01.img", "/db01.nightly"),
        ])
    func suffix(base: String, expected: String) throws {
        let (names, paths) = try overlays(base)
        #expect(paths == [expected])
        #expect(names.findings.isEmpty)
    }

    @Test("two images that differ in their suffix alone are told apart by the disk's name")
    func sameStem() throws {
        let (names, paths) = try overlays("/srv/kvm/db01.qcow2", "/srv/kvm/db01.img")
        #expect(paths == ["/srv/kvm/db01.nightly", "/srv/kvm/db01.vdb.nightly"])
        #expect(names.findings.isEmpty)
    }

    @Test("the same file name in two folders is no clash")
    func sameNameElsewhere() throws {
        let (_, paths) = try overlays("/srv/a/disk.qcow2", "/srv/b/disk.qcow2")
        #expect(paths == ["/srv/a/disk.nightly", "/srv/b/disk.nightly"])
    }

    @Test("a base that bears the snapshot's name already is not its own overlay")
    func baseNamedLikeSnapshot() throws {
        let (_, paths) = try overlays("/srv/kvm/db01.nightly")
        #expect(paths == ["/srv/kvm/db01.vda.nightly"])
    }

    @Test("file= decides over the rule, and its folder counts")
    func override() throws {
        let (names, paths) = try overlays(
            "/srv/kvm/a.img", "/srv/kvm/b.img", files: [Sample.target("vdb"): "/mnt/fast/b overlay.qcow2"])
        #expect(paths == ["/srv/kvm/a.nightly", "/mnt/fast/b overlay.qcow2"])
        #expect(names.folders == ["/srv/kvm", "/mnt/fast"])
    }

    @Test("two disks never share an overlay")
    func shared() throws {
        let (twice, _) = try overlays(
            "/srv/kvm/a.img", "/srv/kvm/b.img",
            files: [Sample.target("vda"): "/srv/o.qcow2", Sample.target("vdb"): "/srv/o.qcow2"])
        #expect(twice.findings.weight(of: "overlay.twice") == .refuses(.refused))
        let (given, _) = try overlays(
            "/srv/kvm/a.img", "/srv/kvm/b.img", files: [Sample.target("vdb"): "/srv/kvm/a.nightly"])
        #expect(given.findings.weight(of: "overlay.twice") == .refuses(.refused))
    }

    @Test("the folder of a file in the root is the root")
    func folders() {
        #expect(OverlayNames.folder(of: "/db01.img") == "/")
        #expect(OverlayNames.folder(of: "/srv/kvm/db01.img") == "/srv/kvm")
    }
}
