// SPDX-License-Identifier: Apache-2.0

import Foundation
import FoundationXML
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("The documents libvirt gets from us")
struct SnapshotXMLTests {
    private static let schema = "/usr/share/libvirt/schemas/domainsnapshot.rng"
    static let canValidate =
        FileManager.default.fileExists(atPath: schema) && FileManager.default.fileExists(atPath: "/usr/bin/xmllint")
    private static let nasty = "/srv/a & b/<c>/'d' \"e\"/größe-日本/disk"

    private func disks() throws -> [MemberPlan.Disk] {
        try [("vda", "/srv/kvm/root"), ("vdb", Self.nasty)].map { name, path in
            MemberPlan.Disk(
                target: try #require(DiskTarget(name)), base: ImageLayer(path: path + ".qcow2", format: "qcow2"),
                overlay: path + ".nightly", virtualSizeBytes: 1 << 30, chain: [])
        }
    }

    private func registration(note: String?, parent: String?) throws -> Registration {
        Registration(
            name: try #require(SnapshotName("nightly")), note: note, createdAt: .cut,
            definition: try Fixture.text("storage.domain.xml").replacing(
                "<domain type='qemu' id='1'>", with: "<domain type='qemu'>"),
            parent: parent, disks: try disks(), others: [try #require(DiskTarget("vdc"))])
    }

    private func cut() throws -> String {
        SnapshotXML.cut(
            try disks(), leaving: [try #require(DiskTarget("vdc"))], named: try #require(SnapshotName("nightly")))
    }

    /// One element a line, without the domain, which is libvirt's own.
    private func lines(_ xml: String) -> String {
        let text = xml.split(separator: "<domain ").first.map(String.init) ?? xml
        return text.replacing("><", with: ">\n<") + "\n"
    }

    @Test("the cut names each chosen disk with its overlay and each other one as left out")
    func cutGolden() throws { try Golden.expect(lines(try cut()), is: "cut.xml") }

    @Test("the registration carries name, text, state, parent, time, disks and no memory")
    func redefinitionGolden() throws {
        let full = try SnapshotXML.redefinition(
            registration(note: "größer & <schöner>\n\"zwei\" Zeilen", parent: "a & b"))
        try Golden.expect(lines(full), is: "redefinition.xml")
        let bare = try SnapshotXML.redefinition(registration(note: nil, parent: nil))
        try Golden.expect(lines(bare), is: "redefinition-bare.xml")
    }

    @Test("every text comes out of the XML as it went in, and the definition is kept with its namespaces")
    func roundTrip() throws {
        let note = "größer & <schöner>\n\"zwei\" 'Zeilen' ]]> &amp;"
        let xml = try SnapshotXML.redefinition(registration(note: note, parent: "a<b>&'\""))
        let root = try #require(try XMLDocument(xmlString: xml).rootElement())
        #expect(root.child("description")?.stringValue == note)
        #expect(root.child("parent")?.child("name")?.stringValue == "a<b>&'\"")
        #expect(root.child("creationTime")?.stringValue == "1795383067")
        let disks = root.child("disks")?.children("disk") ?? []
        #expect(
            disks.compactMap { $0.child("source")?.attribute("file") } == [
                "/srv/kvm/root.nightly", Self.nasty + ".nightly",
            ])
        #expect(disks.map { $0.attribute("snapshot") } == ["external", "external", "no"])
        let domain = try #require(root.child("domain"))
        #expect(domain.child("name")?.stringValue == "stillpoint-lab-storage")
        let foreign = domain.child("metadata")?.children?.compactMap { $0 as? XMLElement }.first
        #expect(foreign?.uri == "https://stillpoint.dev/lab/1" || foreign?.xmlString.contains("xmlns:lab=") == true)
        #expect(domain.child("devices")?.children("disk").count == 6)
    }

    @Test("libvirt's schema accepts them", .enabled(if: canValidate, "xmllint or libvirt's schemas are missing"))
    func valid() throws {
        let documents = [
            try cut(), try SnapshotXML.redefinition(registration(note: "ä & <b>", parent: "before")),
            try SnapshotXML.redefinition(registration(note: nil, parent: nil)),
        ]
        let scratch = try ScratchFolder()
        for (index, xml) in documents.enumerated() {
            try scratch.write(xml, to: "\(index).xml")
            let result = try Shell.run(
                "xmllint --noout --relaxng \(Self.schema) \(scratch("\(index).xml")) 2>&1")
            #expect(result.status == 0, "\(result.output)")
        }
    }

    @Test("a definition that is no XML is refused, not sent")
    func noDefinition() throws {
        var registration = try registration(note: nil, parent: nil)
        for text in ["", "no guest", "<domain>"] {
            registration.definition = text
            #expect(throws: Failure.self) { _ = try SnapshotXML.redefinition(registration) }
        }
    }
}
