// SPDX-License-Identifier: Apache-2.0

import FoundationXML
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("A definition made over for a clone")
struct DefinitionCopyTests {
    private static let uuid = "11111111-2222-4333-8444-555555555555"

    private func clone(_ saved: String, _ disks: String..., halvesMemory: Bool = false) throws -> DefinitionCopy {
        var images: [DiskTarget: ImageLayer] = [:]
        for disk in disks {
            images[try #require(DiskTarget(disk))] = ImageLayer(path: "/var/tmp/c/\(disk).qcow2", format: "qcow2")
        }
        var clone = DefinitionCopy.Clone(origin: "origin", folder: "/var/tmp/c")
        clone.halvesMemory = halvesMemory
        return try DefinitionCopy(
            of: saved,
            as: DefinitionCopy.Names(name: "db01-verify", uuid: Self.uuid, disks: images, nvram: "/var/tmp/c/nvram.fd"),
            for: .clone(clone))
    }

    private func golden(_ copy: DefinitionCopy) -> String {
        copy.element.xmlString(options: .nodePrettyPrint) + "\n"
            + copy.dropped.map { "<!-- dropped: \($0) -->\n" }.joined()
    }

    @Test("of a guest on q35 with direct kernel boot")
    func q35() throws {
        let copy = try clone(Fixture.text("q35-storage.domain.xml"), "vda", "vdb")
        try Golden.expect(golden(copy), is: "clone-q35.xml")
        #expect(copy.memoryKiB == 1 << 20)
    }

    @Test("of a guest with SCSI disks, a CD drive, a floppy, a pool's volume and a network disk")
    func shapes() throws {
        try Golden.expect(golden(try clone(Fixture.text("shapes.domain.xml"), "vda", "sda")), is: "clone-shapes.xml")
    }

    @Test("of a guest with everything that ties it to its host")
    func tied() throws {
        let copy = try clone(Fixture.text("tied.domain.xml"), "vda", halvesMemory: true)
        try Golden.expect(golden(copy), is: "clone-tied.xml")
        let xml = copy.xml
        for word in [
            "interface", "hostdev", "filesystem", "commandline", "secret", "/srv/share", "egd", "spice", "52:54", "tpm",
            "vsock", "hugepages", "cpuset", "seclabel", "backingStore", "/dev/sr0", "owner", "unix' path", "rbd",
            "evdev",
        ] {
            #expect(!xml.contains(word), "\(word)")
        }
        #expect(copy.memoryKiB == 1 << 20)
    }

    @Test("memory is halved, but never below what a system needs to boot")
    func memory() throws {
        let small = try Fixture.text("shapes.domain.xml")
        #expect(try clone(small, "vda", halvesMemory: true).memoryKiB == 65536)
        #expect(try clone(Fixture.text("q35-storage.domain.xml"), "vda", halvesMemory: true).memoryKiB == 1 << 19)
    }

    @Test("half a definition is refused, not completed")
    func torn() throws {
        let text = try Fixture.text("q35-storage.domain.xml")
        #expect(throws: Failure.self) { try clone(String(text.prefix(text.count / 2)), "vda") }
    }

    @Test("a console is told without what moves a terminal's cursor")
    func console() {
        let bytes = Array("\u{1B}[2J\u{1B}[01;32mok\u{1B}[0m 1\u{1B}c2\r\n".utf8)
        #expect(String(decoding: CloneFolder.plain(bytes), as: UTF8.self) == "ok 12\r\n")
        #expect(CloneFolder.plain(Array("\u{1B}".utf8)).isEmpty && CloneFolder.plain(Array("\u{1B}[".utf8)).isEmpty)
    }

    @Test("a new UUID is one")
    func uuids() {
        for _ in 0..<50 {
            let text = UUIDText.random()
            #expect(text.utf8.count == 36)
            let parts = text.split(separator: "-").map(\.count)
            #expect(parts == [8, 4, 4, 4, 12])
            #expect(Array(text)[14] == "4" && "89ab".contains(Array(text)[19]))
        }
    }
}
