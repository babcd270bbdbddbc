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

    private func restored(_ saved: String, keepsAddresses: Bool = false, kernel: String? = nil) throws -> DefinitionCopy
    {
        let vda = try #require(DiskTarget("vda"))
        return try DefinitionCopy(
            of: saved,
            as: DefinitionCopy.Names(
                name: "db01-again", uuid: Self.uuid,
                disks: [vda: ImageLayer(path: "/srv/restored/vda.qcow2", format: "qcow2")],
                nvram: "/srv/restored/nvram.fd", kernel: kernel, initrd: kernel.map { _ in "/srv/restored/initrd" }),
            for: .restored(keepsAddresses: keepsAddresses))
    }

    @Test("for a restored guest it names nothing of this host but what it is given, and says what went")
    func restored() throws {
        let copy = try restored(Fixture.text("tied.domain.xml"))
        try Golden.expect(golden(copy), is: "restored-tied.xml")
        let paths = copy.xml.split { "'\"<>".contains($0) }.filter { $0.hasPrefix("/") && $0.count > 1 }
        let own = paths.filter { !$0.hasPrefix("/srv/restored/") && $0 != "/dev/urandom" }
        // End tags begin with a slash as well.
        #expect(own.allSatisfy { !$0.dropFirst().contains("/") }, "\(own)")
        for word in ["hostdev", "commandline", "br0", "eth0", "52:54", "passwd", "rendernode", "tpm", "hugepages"] {
            #expect(!copy.xml.contains(word), "\(word)")
        }
        #expect(copy.dropped.contains { $0.contains("now on the network default") })
        let same = try restored(Fixture.text("tied.domain.xml"), keepsAddresses: true)
        #expect(same.xml.contains("52:54:00:11:22:33"))
    }

    @Test("a restored guest that boots from a kernel gets the one that came with the copy, or none and no command line")
    func kernel() throws {
        let saved = try Fixture.text("q35-storage.domain.xml")
        let with = try restored(saved, kernel: "/srv/restored/kernel").xml
        #expect(with.contains("<kernel>/srv/restored/kernel</kernel>") && with.contains("<cmdline>"))
        let without = try restored(saved)
        #expect(!without.xml.contains("<kernel>") && !without.xml.contains("<cmdline>"))
        #expect(without.dropped.contains { $0.hasPrefix("kernel /") })
    }

    @Test("a restored guest does not show this host's firmware tables; its own and the emulated ones stay")
    func smbios() throws {
        let saved = try Fixture.text("q35-storage.domain.xml")
        for (mode, stays) in [("host", false), ("other", false), ("emulate", true), ("sysinfo", true)] {
            let line = "<smbios mode='\(mode)'/>"
            let copy = try restored(saved.replacing("<os>", with: "<os>" + line))
            #expect(copy.xml.contains("smbios") == stays, "\(mode)")
            #expect(copy.dropped.contains("os smbios \(mode)") != stays)
        }
        #expect(try clone(saved.replacing("<os>", with: "<os><smbios mode='host'/>"), "vda").xml.contains("smbios"))
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
            #expect(UUIDText.isCanonical(text) && !UUIDText.isCanonical(text.uppercased() + "0"))
            #expect(Array(text)[14] == "4" && "89ab".contains(Array(text)[19]))
        }
    }
}
