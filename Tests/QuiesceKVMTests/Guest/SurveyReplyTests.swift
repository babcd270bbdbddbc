// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Testing

@testable import QuiesceKVM

@Suite("What the look inside the guest wrote")
struct SurveyReplyTests {
    private func disks(_ count: Int = 4) throws -> DiskMap {
        let names = ["vda", "vdb", "vdc", "vdd"].prefix(count)
        return DiskMap(
            try names.enumerated().map { index, name in
                DiskFacts(
                    target: try #require(DiskTarget(name)), source: .file("/\(name)"), format: "qcow2",
                    serial: "serial \(name)",
                    address: .pci(PCIAddress(domain: 0, bus: 0, slot: 4 + index, function: 0)))
            })
    }

    private func reply(_ lines: String...) throws -> SurveyReply? {
        SurveyReply(lines.joined(separator: "\n") + "\nend\n", try disks())
    }

    private func groups(_ reply: SurveyReply?) throws -> [String: [String]] {
        let groups = try #require(reply).survey.volumeGroups
        return Dictionary(
            groups.map { ($0.name, $0.targets.sorted().map(\.description)) }, uniquingKeysWith: { first, _ in first })
    }

    private static let uuid = "ABCDEFghijklmnopqrstuvwxyz012345"
    private static let dashed = "ABCDEF-ghij-klmn-opqr-stuv-wxyz-012345"

    @Test("a real guest of 17 disks: systemd, RCU free to be expedited, its read-only mounts")
    func real() throws {
        let reply = try #require(SurveyReply(try Fixture.text("wide.survey.txt"), try disks()))
        #expect(reply.survey.hasSystemd)
        #expect(reply.survey.expediteObstacle == nil)
        #expect(reply.survey.volumeGroups.isEmpty)
        #expect(reply.readOnlyMounts.contains("/run/credentials/systemd-sysctl.service"))
    }

    @Test("the script as this host's shell runs it ends whole")
    func here() throws {
        let result = try Shell.run(GuestScript.survey.text)
        #expect(result.status == 0)
        #expect(SurveyReply(result.output, try disks()) != nil)
    }

    @Test("mounts without a block device, and the disks of a ZFS pool")
    func other() throws {
        let survey = try #require(
            try reply(
                "disk vdb /sys/devices/pci0000:00/0000:00:05.0/virtio3/block/vdb", "part vdb1 vdb",
                #"other nfs4 /mnt/a\040b"#, "other zfs /tank", "zfs vdb1")
        ).survey
        #expect(
            survey.otherMounts == [
                .init(mountpoint: "/mnt/a b", shownAs: "/mnt/a b", type: "nfs4"),
                .init(mountpoint: "/tank", shownAs: "/tank", type: "zfs"),
            ])
        #expect(survey.zfsDisks.map(\.description) == ["vdb"])
    }

    @Test("a volume group over two disks, one of them partitioned, is on both, under its own name")
    func lvm() throws {
        let reply = try reply(
            "disk vdb /sys/devices/pci0000:00/0000:00:05.0/virtio3/block/vdb",
            "disk vdc /sys/devices/pci0000:00/0000:00:06.0/virtio4/block/vdc", "part vdc2 vdc", "slave dm-0 vdb",
            "slave dm-0 vdc2", "lvm dm-0 LVM-\(Self.uuid)\(Self.uuid)", "pv vdb \(Self.dashed) vgdata",
            "pv vdc2 \(Self.dashed) vgdata")
        #expect(try groups(reply) == ["vgdata": ["vdb", "vdc"]])
    }

    @Test("without pvs the group is still seen by its volumes, and a disk it does not use yet is not")
    func noPVs() throws {
        let reply = try reply(
            "disk vdb /sys/devices/pci0000:00/0000:00:05.0/virtio3/block/vdb",
            "disk vdc /sys/devices/pci0000:00/0000:00:06.0/virtio4/block/vdc", "slave dm-0 vdb",
            "lvm dm-0 LVM-\(Self.uuid)\(Self.uuid)")
        #expect(try groups(reply) == [Self.uuid: ["vdb"]])
    }

    @Test("LVM over md over two disks is on both")
    func raid() throws {
        let reply = try reply(
            "disk vdb /sys/devices/pci0000:00/0000:00:05.0/virtio3/block/vdb",
            "disk vdc /sys/devices/pci0000:00/0000:00:06.0/virtio4/block/vdc", "slave md0 vdb", "slave md0 vdc",
            "part md0p1 md0", "slave dm-3 md0p1", "lvm dm-3 LVM-\(Self.uuid)\(Self.uuid)")
        #expect(try groups(reply) == [Self.uuid: ["vdb", "vdc"]])
    }

    @Test("a serial with a blank in it, which libvirt allows, does not lose the disk")
    func serial() throws {
        let reply = try reply(
            "disk vdb /sys/devices/pci0000:00/0000:99:05.0/virtio3/block/vdb serial vdb", "slave dm-0 vdb",
            "lvm dm-0 LVM-\(Self.uuid)\(Self.uuid)")
        #expect(try groups(reply) == [Self.uuid: ["vdb"]])
    }

    @Test("RCU is left alone where rcu_normal is set or CPUs are isolated")
    func rcu() throws {
        #expect(try reply("rcu_normal 0", "isolated ")?.survey.expediteObstacle == nil)
        #expect(try reply("rcu_normal 1")?.survey.expediteObstacle == "rcu_normal is set in the guest")
        #expect(try reply("isolated 1-3,7")?.survey.expediteObstacle == "the guest has isolated CPUs (1-3,7)")
        #expect(try reply("isolated \u{1B}[31m")?.survey.expediteObstacle?.contains("\u{1B}") == false)
    }

    @Test("mount points come out of the kernel's escapes")
    func mounts() throws {
        let reply = try reply(
            #"ro /mnt/a\040b"#, #"ro /mnt/tab\011x"#, #"ro /mnt/back\134040"#, #"ro /mnt/new\012line"#)
        #expect(reply?.readOnlyMounts == ["/mnt/a b", "/mnt/tab\tx", #"/mnt/back\040"#, "/mnt/new\nline"])
    }

    @Test(
        "an answer without its end is none",
        arguments: ["", "end", "systemd\n", "systemd\nend of it\n", "end\nsystemd\n"])
    func torn(_ text: String) throws {
        #expect((SurveyReply(text, try disks()) != nil) == (text == "end"))
    }

    @Test("devices that hold each other up in a circle end the look")
    func circle() throws {
        let reply = try reply(
            "slave a b", "slave b c", "slave c a", "part vdb1 vdb1", "slave a vdb1",
            "lvm a LVM-\(Self.uuid)\(Self.uuid)")
        #expect(try groups(reply).isEmpty)
    }

    @Test("lines that are too many, too long or odd are left out, and nothing traps")
    func hostile() throws {
        let long = String(repeating: "x", count: 1 << 20)
        let reply = try reply(
            "disk", "disk \(long)", "part \(long) \(long)", "lvm dm-0 \(long)", "lvm dm-1 LVM-", "lvm dm-2 L",
            "pv a b c d e",
            "pv \(long) \(long) \u{1B}[31m", "   ", "rcu_normal", "ro", "end", "slave \u{0} \u{FFFD}")
        #expect(reply?.survey.volumeGroups.isEmpty == true)
        let endless = String(repeating: "ro /x\n", count: 100_000) + "end\n"
        #expect(SurveyReply(endless, try disks()) == nil)
    }

    @Test("a group's name cannot colour a terminal")
    func name() throws {
        let reply = try reply(
            "disk vdb /sys/devices/pci0000:00/0000:00:05.0/virtio3/block/vdb", "pv vdb \(Self.dashed) vg\u{1B}[31m")
        #expect(try groups(reply).keys.first == #"vg\u{1B}[31m"#)
    }

    @Test("neither can a mount point, and is compared as it is")
    func mountpoint() throws {
        let mount = try #require(try reply("other nfs4 /a\u{1B}[31m\\012b")?.survey.otherMounts.first)
        #expect(mount.mountpoint == "/a\u{1B}[31m\nb" && mount.description == #"/a\u{1B}[31m\nb (nfs4)"#)
    }
}
