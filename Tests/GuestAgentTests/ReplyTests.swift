// SPDX-License-Identifier: Apache-2.0
import Foundation
import GuestAgent
import JSON
import Testing

@Suite("replies")
struct ReplyTests {
    /// What qemu-ga 7.2.22 answered in a Debian 12 guest with five disks.
    static func debian12(_ command: String) throws -> ScriptedChannel {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures")
        let file = folder.appending(path: "debian12-\(command).json")
        return ScriptedChannel(try String(contentsOf: file, encoding: .utf8))
    }

    @Test("Debian 12's filesystems: each with its disk, size and place")
    func filesystems() async throws {
        let agent = GuestAgent(channel: try Self.debian12("guest-get-fsinfo"))
        let filesystems = try await agent.filesystems()
        let mountpoints = ["/var/lib/postgresql", "/var/lib/mysql", "/srv/scratch", "/srv/data", "/"]
        #expect(filesystems.map(\.mountpoint) == mountpoints)
        #expect(filesystems.allSatisfy { $0.disks.count == 1 && $0.type == "ext4" })
        let root = try #require(filesystems.last)
        #expect(root.name == "vda1")
        #expect(root.usedBytes == 763_183_104)
        #expect(root.totalBytes == 2_914_295_808)
        let disk = try #require(root.disks.first)
        #expect(disk.busType == "virtio")
        #expect(disk.serial == "root")
        #expect(disk.dev == "/dev/vda1")
        #expect(disk.bus == 0 && disk.target == 0 && disk.unit == 0)
        let address = try #require(disk.pciController)
        #expect(address.domain == 0 && address.bus == 0 && address.slot == 3 && address.function == 0)
    }

    @Test("Debian 12's agent: its version, what it allows and what it does not know")
    func info() async throws {
        let info = try await GuestAgent(channel: try Self.debian12("guest-info")).info()
        #expect(info.version == "7.2.22")
        #expect(info.allows("guest-fsfreeze-freeze-list"))
        #expect(info.allows("guest-exec"))
        #expect(info.commands["guest-get-devices"] == false)
        #expect(!info.allows("guest-get-devices"))
        #expect(!info.allows("guest-network-get-route"))
    }

    @Test("Debian 12's name for itself")
    func osInfo() async throws {
        let system = try await GuestAgent(channel: try Self.debian12("guest-get-osinfo")).osInfo()
        #expect(system.id == "debian")
        #expect(system.prettyName == "Debian GNU/Linux 12 (bookworm)")
        #expect(system.versionID == "12")
        #expect(system.kernelRelease == "6.1.0-56-cloud-amd64")
        #expect(system.machine == "x86_64")
        #expect(system.variant == nil)
    }

    @Test("Debian 12's clock and freeze status")
    func timeAndStatus() async throws {
        let time = try await GuestAgent(channel: try Self.debian12("guest-get-time")).time()
        #expect(time == .nanoseconds(1_795_401_644_981_011_000))
        let status = try await GuestAgent(channel: try Self.debian12("guest-fsfreeze-status")).freezeStatus()
        #expect(status == .thawed)
    }

    @Test("unknown members of a known object are left alone")
    func newerAgent() async throws {
        let channel = ScriptedChannel(
            #"""
            {"return":[{"name":"vda1","mountpoint":"/","type":"ext4","total-bytes-privileged":9,"disk":[
            {"bus-type":"nvme","bus":0,"target":0,"unit":0,"ccw-address":{"cssid":1},"has-media":true,
            "pci-controller":{"domain":0,"bus":4,"slot":0,"function":0,"x":[]}}]}],"id":"7"}
            """#)
        let filesystem = try #require(try await GuestAgent(channel: channel).filesystems().first)
        #expect(filesystem.disks.first?.busType == "nvme")
        #expect(filesystem.disks.first?.serial == nil)
        #expect(filesystem.totalBytes == nil)
    }

    @Test("a disk whose PCI address the agent does not know has none")
    func unknownAddress() async throws {
        let channel = ScriptedChannel(
            #"""
            {"return":[{"name":"sr0","mountpoint":"/mnt","type":"iso9660","disk":[{"bus-type":"unknown","bus":-1,
            "target":-1,"unit":-1,"pci-controller":{"domain":-1,"bus":-1,"slot":-1,"function":-1}}]}]}
            """#)
        let disk = try #require(try await GuestAgent(channel: channel).filesystems().first?.disks.first)
        #expect(disk.pciController == nil)
        #expect(disk.bus == -1)
    }

    @Test("a command listed twice is refused")
    func twice() async throws {
        let channel = ScriptedChannel(
            #"""
            {"return":{"version":"9","supported_commands":[
            {"name":"a","enabled":true},{"name":"a","enabled":false}]}}
            """#)
        await #expect(throws: malformed("return.supported_commands[1] is listed twice", "guest-info")) {
            try await GuestAgent(channel: channel).info()
        }
    }

    @Test("lists and texts longer than their limits are refused, at the limit they are taken")
    func limits() async throws {
        func filesystem(_ mountpoint: String) -> String {
            #"{"name":"a","mountpoint":"\#(mountpoint)","type":"t","disk":[]}"#
        }
        func reply(_ count: Int, _ mountpoint: String) -> String {
            #"{"return":["# + Array(repeating: filesystem(mountpoint), count: count).joined(separator: ",") + "]}"
        }
        let long = String(repeating: "x", count: 4096)
        let channel = ScriptedChannel(reply(4096, "/"), reply(1, long), reply(4097, "/"), reply(1, long + "x"))
        let agent = GuestAgent(channel: channel)
        #expect(try await agent.filesystems().count == 4096)
        #expect(try await agent.filesystems().first?.mountpoint == long)
        await #expect(throws: malformed("return has more than 4096 elements", "guest-get-fsinfo")) {
            try await agent.filesystems()
        }
        await #expect(throws: malformed("return[0].mountpoint is longer than 4096 bytes", "guest-get-fsinfo")) {
            try await agent.filesystems()
        }
    }

    @Test("a NUL in a name is refused, because C would cut the name there")
    func nul() async throws {
        let channel = ScriptedChannel(#"{"return":[{"name":"a","mountpoint":"/srv\u0000/x","type":"t","disk":[]}]}"#)
        await #expect(throws: malformed("return[0].mountpoint holds a NUL", "guest-get-fsinfo")) {
            try await GuestAgent(channel: channel).filesystems()
        }
    }

    @Test("text that is written to shake a terminal arrives as it is, and is shown escaped")
    func hostileText() async throws {
        let channel = ScriptedChannel(#"{"return":{"pretty-name":"\u001b]0;x\u0007\u202eDebian\n"}}"#)
        let name = try #require(try await GuestAgent(channel: channel).osInfo().prettyName)
        #expect(name == "\u{1B}]0;x\u{7}\u{202E}Debian\n")
        #expect(name.printable() == #"\u{1B}]0;x\u{7}\u{202E}Debian\n"#)
    }
}
