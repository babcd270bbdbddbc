// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Quiesce
import Testing

@testable import QuiesceKVM

@Suite("Which of the host's disks the guest means")
struct DiskMapTests {
    /// An agent that gives one answer.
    private struct Recorded: AgentChannel {
        let reply: String
        func exchange(_ request: String, timeout: Duration) async throws(AgentError) -> String { reply }
    }

    private func filesystems(_ reply: String) async throws -> [GuestFilesystem] {
        try await GuestAgent(channel: Recorded(reply: reply)).filesystems()
    }

    private func guestDisk(
        serial: String? = nil, pci: (bus: Int, slot: Int) = (0, 5), target: Int = 0, unit: Int = 0
    ) async throws -> GuestDisk {
        let controller = #"{"domain":0,"bus":\#(pci.bus),"slot":\#(pci.slot),"function":0}"#
        let serial = serial.map { #""serial":"\#($0)","# } ?? ""
        let disk =
            #"{"bus-type":"scsi",\#(serial)"bus":0,"target":\#(target),"unit":\#(unit),"pci-controller":\#(controller)}"#
        let reply = #"{"return":[{"name":"x","mountpoint":"/","type":"ext4","disk":[\#(disk)]}]}"#
        return try #require(try await filesystems(reply).first?.disks.first)
    }

    private func disk(
        _ name: String, serial: String? = nil, _ address: DiskFacts.Address = .other, device: DiskFacts.Device = .disk
    ) throws -> DiskFacts {
        DiskFacts(
            target: try #require(DiskTarget(name)), device: device, source: .file("/\(name)"), format: "qcow2",
            serial: serial, address: address)
    }

    private func pci(_ slot: Int, bus: Int = 0) -> PCIAddress {
        PCIAddress(domain: 0, bus: bus, slot: slot, function: 0)
    }

    @Test(
        "a real guest's filesystems find their disks, LVM over two disks both of them",
        arguments: ["storage", "q35-storage"])
    func real(_ guest: String) async throws {
        let facts = try DomainDefinition(xml: Fixture.text("\(guest).domain.xml")).disks.map(\.facts)
        let filesystems = try await filesystems(Fixture.text("\(guest).guest-get-fsinfo.json"))
        let expected = [
            "/": ["vda"], "/srv/xfs": ["vdb"], "/srv/btrfs": ["vdc"], "/srv/lv": ["vdd", "vde"], "/srv/lv2": ["vdd"],
            "/srv/scratch": ["vdf"],
        ]
        // By serial, and again by address alone.
        for known in [facts, facts.map { facts in facts.without(\.serial) }] {
            let map = DiskMap(known)
            for filesystem in filesystems {
                let found = filesystem.disks.map { map.target(of: $0)?.description ?? "?" }.sorted()
                #expect(found == expected[filesystem.mountpoint], "\(filesystem.mountpoint)")
            }
        }
    }

    @Test("a SCSI disk is found by its controller, target and unit; another's unit is not it")
    func scsi() async throws {
        let map = DiskMap([
            try disk("sda", .drive(controller: pci(5), bus: 0, target: 0, unit: 0)),
            try disk("sdb", .drive(controller: pci(5), bus: 0, target: 3, unit: 2)),
            try disk("sdc", .drive(controller: pci(6), bus: 0, target: 3, unit: 2)),
        ])
        #expect(map.target(of: try await guestDisk(target: 3, unit: 2))?.description == "sdb")
        #expect(map.target(of: try await guestDisk(pci: (0, 6), target: 3, unit: 2))?.description == "sdc")
        #expect(map.target(of: try await guestDisk(target: 2, unit: 3)) == nil)
        let path = "/sys/devices/pci0000:00/0000:00:05.0/virtio2/host2/target2:0:3/2:0:3:2/block/sdb"
        #expect(map.target(sysfs: path, serial: "")?.description == "sdb")
    }

    @Test("a serial that virtio has cut to 20 bytes is still found")
    func cutSerial() async throws {
        let map = DiskMap([try disk("vda", serial: "8f1f2c3d-aaaa-bbbb-cccc-0123456789ab")])
        #expect(map.target(of: try await guestDisk(serial: "8f1f2c3d-aaaa-bbbb-c"))?.description == "vda")
    }

    @Test("serials that are the same in their first 20 bytes prove nothing: the address decides")
    func sameSerials() async throws {
        let map = DiskMap([
            try disk("vda", serial: "database-production-01", .pci(pci(4))),
            try disk("vdb", serial: "database-production-02", .pci(pci(5))),
            try disk("vdc", serial: "database-production-03", .pci(pci(6))),
        ])
        for (slot, name) in [(4, "vda"), (5, "vdb"), (6, "vdc")] {
            let told = try await guestDisk(serial: "database-production-", pci: (0, slot))
            #expect(map.target(of: told)?.description == name)
            let path = "/sys/devices/pci0000:00/0000:00:0\(slot).0/virtio2/block/vdx"
            #expect(map.target(sysfs: path, serial: "database-production-")?.description == name)
        }
    }

    @Test("what matches nothing is nobody's")
    func nothing() async throws {
        let map = DiskMap([
            try disk("vda", serial: "root", .pci(pci(4))),
            try disk("sda", .drive(controller: nil, bus: 0, target: 0, unit: 0)),
        ])
        #expect(map.target(of: try await guestDisk(serial: "other", pci: (0, 9))) == nil)
        #expect(DiskMap([]).target(of: try await guestDisk(serial: "root")) == nil)
        for path in [
            "", "/", "/sys/devices/virtual/block/loop0", "/sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/block/sda",
            "/sys/0000:00:zz.0/x", "/sys/0000:00:04/x", "/sys/::./x", "/sys/99999999999999999999:00:04.0/0:0:0:0:0",
        ] {
            #expect(map.target(sysfs: path, serial: "") == nil, "\(path)")
        }
    }

    @Test("behind a port of q35 the last PCI address on the path is the disk's own")
    func q35() throws {
        let map = DiskMap([try disk("vda", .pci(pci(2))), try disk("vdb", .pci(pci(0, bus: 3)))])
        let path = "/sys/devices/pci0000:00/0000:00:02.2/0000:03:00.0/virtio2/block/vdb"
        #expect(map.target(sysfs: path, serial: "")?.description == "vdb")
    }
}

extension DiskFacts {
    fileprivate func without(_ member: WritableKeyPath<DiskFacts, String?>) -> DiskFacts {
        var facts = self
        facts[keyPath: member] = nil
        return facts
    }
}
