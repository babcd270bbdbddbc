// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Testing

@testable import QuiesceKVM

@Suite("A domain's definition")
struct DomainDefinitionTests {
    private func disk(_ xml: String) throws -> DomainDefinition.Disk {
        try #require(try DomainDefinition(xml: "<domain><devices>\(xml)</devices></domain>").disks.first)
    }

    private func target(_ name: String) throws -> DiskTarget { try #require(DiskTarget(name)) }

    @Test("a guest of libvirt 9.0: six virtio disks, each with its image, serial, alias and place on the bus")
    func storage() throws {
        let definition = try DomainDefinition(xml: Fixture.text("storage.domain.xml"))
        #expect(definition.agentChannel == .connected)
        #expect(!definition.relabelsWithAppArmor)
        #expect(definition.disks.map(\.facts.target.description) == ["vda", "vdb", "vdc", "vdd", "vde", "vdf"])
        #expect(definition.disks.map(\.facts.serial) == ["root", "xfs", "btrfs", "lvm1", "lvm2", "scratch"])
        let root = try #require(definition.disks.first)
        #expect(root.alias == "virtio-disk0" && !root.hasReadyMirror)
        #expect(root.facts.device == .disk && root.facts.format == "qcow2")
        #expect(root.facts.address == .pci(PCIAddress(domain: 0, bus: 0, slot: 3, function: 0)))
        let path = "/var/cache/stillpoint-lab/guests/stillpoint-lab-storage/root.qcow2"
        #expect(root.facts.source == .file(path))
        #expect(root.facts.liveChain == [ImageLayer(path: path, format: "qcow2")])
        #expect(definition.imagePaths.count == 6 && definition.imagePaths.contains(path))
    }

    @Test("on q35 each disk sits behind a port of its own")
    func q35() throws {
        let definition = try DomainDefinition(xml: Fixture.text("q35-storage.domain.xml"))
        let buses = definition.disks.map { disk in
            if case .pci(let address) = disk.facts.address { address.bus } else { -1 }
        }
        #expect(buses == [2, 3, 4, 5, 6, 7])
    }

    @Test("file, volume and network sources, an empty drive and a floppy, as libvirt writes them")
    func shapes() throws {
        let definition = try DomainDefinition(xml: Fixture.text("shapes.domain.xml"))
        #expect(definition.agentChannel == .absent)
        #expect(
            definition.disks.map(\.facts.source) == [
                .file("/srv/kvm/rel.qcow2"), .file("/srv/kvm/plain.qcow2"), .volume(pool: "at-pool", name: "vol.qcow2"),
                .network("nbd"), .file("/srv/kvm/js.qcow2"), .none, .none,
            ])
        #expect(definition.disks.map(\.facts.device) == [.disk, .disk, .disk, .disk, .disk, .cdrom, .floppy])
        #expect(definition.disks.map(\.facts.liveChain.count) == [2, 1, 0, 1, 2, 0, 0])
        #expect(definition.disks[5].facts.isReadOnly && !definition.disks[6].facts.isReadOnly)
    }

    @Test("a SCSI disk is known by its controller's place, its target and its unit")
    func scsi() throws {
        let definition = try DomainDefinition(xml: Fixture.text("shapes.domain.xml"))
        let disk = try #require(definition.disks.first { $0.facts.target.description == "sda" })
        #expect(disk.alias == "scsi1-0-3-2" && disk.facts.serial == "with space")
        let controller = PCIAddress(domain: 0, bus: 0, slot: 3, function: 0)
        #expect(disk.facts.address == .drive(controller: controller, bus: 0, target: 3, unit: 2))
        // The IDE drive's controller 0 is not SCSI's controller 0.
        let drive = try #require(definition.disks.first { $0.facts.device == .cdrom })
        #expect(drive.facts.address == .drive(controller: nil, bus: 0, target: 0, unit: 0))
    }

    @Test(
        "every kind of source",
        arguments: [
            ("block", "dev='/dev/vg/db01'", DiskFacts.Source.block("/dev/vg/db01")),
            ("file", "file='/srv/a&amp;b.img'", .file("/srv/a&b.img")), ("file", "startupPolicy='optional'", .none),
            ("dir", "dir='/srv/fat'", .other("dir")), ("nvme", "type='pci' managed='yes'", .other("nvme")),
            ("vhostuser", "type='unix' path='/tmp/s'", .other("vhostuser")),
            ("network", "protocol='rbd' name='pool/image'", .network("rbd")),
            ("network", "name='x'", .network("?")), ("volume", "pool='p' volume='v'", .volume(pool: "p", name: "v")),
            ("volume", "pool='p'", .volume(pool: "p", name: "?")), ("tape", "reel='1'", .other("tape")),
        ])
    func sources(_ kind: String, _ attributes: String, _ source: DiskFacts.Source) throws {
        let disk = try disk("<disk type='\(kind)'><source \(attributes)/><target dev='vda'/></disk>")
        #expect(disk.facts.source == source)
    }

    @Test("what is not said: a disk, raw, writable, not shared")
    func defaults() throws {
        let facts = try disk("<disk><source file='/a'/><target dev='vda'/></disk>").facts
        #expect(facts.device == .disk && facts.format == "raw" && facts.source == .file("/a"))
        #expect(!facts.isReadOnly && !facts.isShareable && !facts.isTransient && facts.cache == nil)
        #expect(facts.address == .other && facts.serial == nil)
    }

    @Test("read-only, shareable, transient and the cache mode are seen")
    func flags() throws {
        let facts = try disk(
            "<disk device='lun'><driver type='qcow2' cache='unsafe'/><source file='/a'/><target dev='sdb'/>"
                + "<readonly/><shareable/><transient/></disk>"
        ).facts
        #expect(facts.device == .lun && facts.cache == "unsafe")
        #expect(facts.isReadOnly && facts.isShareable && facts.isTransient)
    }

    @Test("a chain of file, device and network layers, each with its own format, ends at the empty one")
    func chain() throws {
        let facts = try disk(
            """
            <disk type='file'><driver type='qcow2'/><source file='/top'/><target dev='vda'/>
              <backingStore type='block'><format type='qcow2'/><source dev='/dev/mid'/>
                <backingStore type='network'><format type='raw'/><source protocol='nbd' name='base'/>
                  <backingStore/></backingStore></backingStore></disk>
            """
        ).facts
        #expect(
            facts.liveChain == [
                ImageLayer(path: "/top", format: "qcow2"), ImageLayer(path: "/dev/mid", format: "qcow2"),
                ImageLayer(path: "base", format: "raw"),
            ])
        #expect(facts.activeImage?.path == "/top" && !facts.isChainOpen)
    }

    @Test(
        "a chain is open where nothing says what is below its last layer",
        arguments: ["": true, "<backingStore/>": false, "<backingStore><source file='/mid'/></backingStore>": true])
    func openChain(_ below: String, _ isOpen: Bool) throws {
        let facts = try disk("<disk><source file='/top'/><target dev='vda'/>\(below)</disk>").facts
        #expect(facts.isChainOpen == isOpen)
    }

    private func nested(_ depth: Int) -> String {
        let open = (0..<depth).map { "<backingStore><format type='qcow2'/><source file='/l\($0)'/>" }.joined()
        let close = String(repeating: "</backingStore>", count: depth)
        return "<disk><source file='/top'/><target dev='vda'/>\(open)\(close)</disk>"
    }

    @Test("libvirt's deepest chain, 200 layers, is read whole")
    func deep() throws { #expect(try disk(nested(199)).facts.liveChain.count == 200) }

    @Test("a chain nobody can have is not followed to the end of the stack")
    func hostile() throws {
        #expect((try? disk(nested(100_000)).facts.liveChain.count) ?? 0 <= 256)
    }

    @Test(
        "the agent's channel: absent, connected, disconnected, another's",
        arguments: [
            ("", DomainDefinition.AgentChannel.absent),
            ("<target type='virtio' name='org.qemu.guest_agent.0' state='connected'/>", .connected),
            ("<target type='virtio' name='org.qemu.guest_agent.0' state='disconnected'/>", .disconnected),
            // A definition that does not run has no state.
            ("<target type='virtio' name='org.qemu.guest_agent.0'/>", .connected),
            ("<target type='virtio' name='com.redhat.spice.0' state='connected'/>", .absent),
        ])
    func channel(_ target: String, _ state: DomainDefinition.AgentChannel) throws {
        let spice = "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>"
        let xml = "<domain><devices>\(spice)<channel type='unix'>\(target)</channel></devices></domain>"
        #expect(try DomainDefinition(xml: xml).agentChannel == state)
    }

    @Test(
        "AppArmor counts when it relabels",
        arguments: [
            ("<seclabel type='dynamic' model='apparmor' relabel='yes'/>", true),
            ("<seclabel type='dynamic' model='apparmor'/>", true),
            ("<seclabel type='none' model='apparmor' relabel='no'/>", false),
            ("<seclabel model='dac' relabel='yes'/>", false),
            ("<seclabel model='dac' relabel='yes'/><seclabel model='apparmor' relabel='yes'/>", true), ("", false),
        ])
    func appArmor(_ labels: String, _ relabels: Bool) throws {
        #expect(try DomainDefinition(xml: "<domain>\(labels)</domain>").relabelsWithAppArmor == relabels)
    }

    @Test(
        "a mirror is ready when libvirt says yes, not while it aborts or pivots",
        arguments: ["yes", "abort", "pivot", nil])
    func mirror(_ ready: String?) throws {
        let mirror = "<mirror type='file' file='/base' job='active-commit'\(ready.map { " ready='\($0)'" } ?? "")/>"
        let disk = try disk("<disk><source file='/top'/>\(mirror)<target dev='vda'/></disk>")
        #expect(disk.hasReadyMirror == (ready == "yes"))
    }

    @Test("a disk whose name is none is left out", arguments: ["", "v", "../../etc", "VDA", "vda;reboot"])
    func names(_ name: String) throws {
        let xml = "<domain><devices><disk><source file='/a'/><target dev='\(name)'/></disk></devices></domain>"
        #expect(try DomainDefinition(xml: xml).disks.isEmpty)
    }

    @Test(
        "text that is no domain, or half of one, or reads a file, is refused",
        arguments: [
            "", " ", "no guest", "<network></network>", "<domain", "<domain>", "<domain><devices></devices>",
            "</domain>",
            "<!DOCTYPE d [<!ENTITY e SYSTEM 'file:///etc/hostname'>]><domain><name>&e;</name></domain>",
        ])
    func noDomain(_ text: String) {
        let failure = #expect(throws: Failure.self) { _ = try DomainDefinition(xml: text) }
        #expect(failure?.status == .internalError)
    }
}
