// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Testing

@testable import QuiesceKVM

@Suite("QEMU's own graph of a guest's disks")
struct BlockGraphTests {
    private func image(_ layers: [(file: String, format: String)]) -> String {
        guard let layer = layers.first else { return "null" }
        let name = layer.file.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
        let below = layers.count > 1 ? #","backing-image":\#(image(Array(layers.dropFirst())))"# : ""
        return #"{"filename":"\#(name)","format":"\#(layer.format)","virtual-size":1073741824\#(below)}"#
    }

    private func chain(_ layers: (file: String, format: String)...) throws -> [ImageLayer]? { try chain(layers) }

    private func chain(_ layers: [(file: String, format: String)]) throws -> [ImageLayer]? {
        let device =
            #"{"qdev":"/machine/peripheral/virtio-disk0/virtio-backend","inserted":{"image":\#(image(layers))}}"#
        return try BlockGraph(reply: #"{"return":[\#(device)],"id":"libvirt-1"}"#).disk(alias: "virtio-disk0")?.chain
    }

    @Test("a reply of QEMU 7.2: virtio and SCSI disks by libvirt's alias, and drives without a medium not at all")
    func reply() throws {
        let graph = try BlockGraph(reply: Fixture.text("shapes.query-block.json"))
        #expect(graph.disk(alias: "virtio-disk1")?.virtualSizeBytes == 32 << 20)
        #expect(graph.disk(alias: "scsi1-0-3-2")?.chain.map(\.path) == ["/srv/kvm/js.qcow2", "/srv/kvm/base.qcow2"])
        #expect(graph.disk(alias: "ide0-0-0") == nil && graph.disk(alias: "fdc0-0-0") == nil)
        #expect(graph.disk(alias: "virtio-disk9") == nil)
    }

    @Test("a file that QEMU names by its options is the file inside, with a relative backing name too")
    func options() throws {
        let graph = try BlockGraph(reply: Fixture.text("shapes.query-block.json"))
        #expect(
            graph.disk(alias: "virtio-disk0")?.chain == [
                ImageLayer(path: "/srv/kvm/rel.qcow2", format: "qcow2"),
                ImageLayer(path: "/srv/kvm/base.qcow2", format: "qcow2"),
            ])
    }

    @Test("what libvirt and QEMU say of a whole, healthy guest agrees, whatever its disks are made of")
    func agreement() throws {
        let definition = try DomainDefinition(xml: Fixture.text("shapes.domain.xml"))
        let graph = try BlockGraph(reply: Fixture.text("shapes.query-block.json"))
        for disk in definition.disks {
            var facts = disk.facts
            facts.qemuChain = disk.alias.flatMap { graph.disk(alias: $0)?.chain }
            #expect(facts.disagreement == nil)
        }
    }

    @Test("nodes that only pass data on are no layers", arguments: ["copy-on-read", "throttle"])
    func filters(_ filter: String) throws {
        let options = #"json:{"driver": "\#(filter)", "file": {"driver": "qcow2", "file": {"filename": "/a"}}}"#
        #expect(try chain((options, filter), ("/a", "qcow2")) == [ImageLayer(path: "/a", format: "qcow2")])
    }

    @Test("a chain of 40 layers is read whole, named plainly or by options that nest with every layer")
    func deep() throws {
        let plain = (0..<40).map { (file: "/layer\($0)", format: "qcow2") }
        #expect(try chain(plain)?.map(\.path) == plain.map(\.file))
        let nested = (0..<40).map { top in
            let options = (top..<40).reversed().reduce("") { below, index in
                let file = #""driver": "qcow2", "file": {"driver": "file", "filename": "/l\#(index)"}"#
                return below.isEmpty ? "{\(file)}" : #"{"backing": \#(below), \#(file)}"#
            }
            return (file: "json:" + options, format: "qcow2")
        }
        #expect(try chain(nested)?.map(\.path) == (0..<40).map { "/l\($0)" })
    }

    @Test("a name by options without a file inside, or one that is cut off, stays as QEMU wrote it")
    func odd() throws {
        for name in [
            #"json:{"driver":"null-co"}"#, #"json:{"driver":"qcow2","file":{"filename":"/very/lo..."#, "json:",
        ] {
            #expect(try chain((name, "raw"))?.map(\.path) == [name])
        }
        #expect(try chain((#"/srv/json:{"a"}.img"#, "raw"))?.map(\.path) == [#"/srv/json:{"a"}.img"#])
    }

    @Test(
        "a reply that is none of QEMU's is refused or empty, and never traps",
        arguments: [
            "", "[]", "null", "{", #"{"return":{}}"#, #"{"return":[1,null,"x",{}]}"#,
            #"{"error":{"class":"GenericError"}}"#,
            #"{"return":[{"qdev":7,"inserted":{"image":{"filename":"/a"}}}]}"#,
            #"{"return":[{"qdev":"/machine/peripheral","inserted":{"image":null}}]}"#,
            #"{"return":[{"qdev":"x","inserted":{"image":{"filename":7,"virtual-size":1e400}}}]}"#,
        ])
    func damaged(_ reply: String) {
        do throws(Failure) {
            let graph = try BlockGraph(reply: reply)
            #expect(graph.disk(alias: "virtio-disk0") == nil)
            #expect(graph.disk(alias: "x")?.chain.isEmpty ?? true)
        } catch {
            #expect(error.status == .internalError)
            #expect(error.message.hasPrefix("QEMU's answer to query-block cannot be read"))
        }
    }
}
