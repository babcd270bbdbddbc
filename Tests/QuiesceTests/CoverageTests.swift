// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("Coverage")
struct CoverageTests {
    private func cover(
        _ filesystems: Filesystem..., choosing: String..., survey: GuestSurvey? = GuestSurvey()
    ) throws -> Coverage {
        Coverage(
            of: try Sample.facts(filesystems: filesystems, survey: survey), chosen: Set(try choosing.map(Sample.target))
        )
    }

    private func ceiling(_ coverage: Coverage) -> Consistency { coverage.findings.ceiling }

    @Test("the filesystems on the chosen disks are frozen, outermost first")
    func outermostFirst() throws {
        let coverage = try cover(
            Sample.filesystem("/var/lib/mysql", on: "vdb", disks: "vdb"),
            Sample.filesystem("/var", on: "vda2", disks: "vda"),
            Sample.filesystem("/", on: "vda1", disks: "vda"), choosing: "vda", "vdb")
        #expect(coverage.freezable.map(\.mountpoint) == ["/", "/var", "/var/lib/mysql"])
        #expect(coverage.findings.obstacles.isEmpty)
    }

    @Test("a filesystem on another disk is not frozen, and the report says that it is not covered")
    func elsewhere() throws {
        let coverage = try cover(
            Sample.filesystem("/", on: "vda1", disks: "vda"), Sample.filesystem("/data", on: "vdb", disks: "vdb"),
            choosing: "vda")
        #expect(coverage.freezable.map(\.mountpoint) == ["/"])
        #expect(coverage.findings.weight(of: "filesystem.uncovered") == .note)
    }

    @Test("a device that is mounted twice is frozen, and counted, once")
    func bindMounts() throws {
        let coverage = try cover(
            Sample.filesystem("/srv/bind/mount", on: "vda1", disks: "vda"),
            Sample.filesystem("/", on: "vda1", disks: "vda"),
            Sample.filesystem("/home", on: "vda1", "btrfs", disks: "vda"), choosing: "vda")
        #expect(coverage.freezable.map(\.mountpoint) == ["/"])
    }

    @Test("vfat where the firmware reads leaves the level alone", arguments: ["/boot/efi", "/efi", "/boot"])
    func firmware(_ mountpoint: String) throws {
        let coverage = try cover(
            Sample.filesystem("/", on: "vda2", disks: "vda"),
            Sample.filesystem(mountpoint, on: "vda1", "vfat", disks: "vda"),
            choosing: "vda")
        #expect(coverage.notFreezable.map(\.mountpoint) == [mountpoint])
        #expect(coverage.findings.obstacles.isEmpty)
    }

    @Test(
        "what the kernel cannot freeze limits the run to crash",
        arguments: [
            ("/data", "vfat"), ("/boot/efi/more", "vfat"), ("/boot", "exfat"), ("/data", "ntfs"), ("/tank", "zfs"),
        ])
    func cannotFreeze(mountpoint: String, type: String) throws {
        let coverage = try cover(
            Sample.filesystem("/", on: "vda1", disks: "vda"),
            Sample.filesystem(mountpoint, on: "vda2", type, disks: "vda"),
            choosing: "vda")
        #expect(coverage.findings.weight(of: "filesystem.cannotFreeze") == .limits(.crash))
        #expect(coverage.findings["filesystem.cannotFreeze"]?.text.contains(mountpoint) == true)
        #expect(coverage.freezable.map(\.mountpoint) == ["/"])
    }

    @Test("a ZFS pool on a chosen disk limits the run to crash, one on a disk that is left out does not")
    func zfs() throws {
        var survey = GuestSurvey()
        survey.zfsDisks = [try Sample.target("vdb")]
        let root = try Sample.filesystem("/", on: "vda1", disks: "vda")
        #expect(ceiling(try cover(root, choosing: "vda", "vdb", survey: survey)) == .crash)
        #expect(try cover(root, choosing: "vda", survey: survey).findings.obstacles.isEmpty)
    }

    @Test("what nobody can write to is ignored", arguments: ["iso9660", "squashfs", "udf", "erofs"])
    func readOnlyMedia(_ type: String) throws {
        let coverage = try cover(
            Sample.filesystem("/", on: "vda1", disks: "vda"),
            Sample.filesystem("/media", on: "vda9", type, disks: "vda", readOnly: true), choosing: "vda")
        #expect(coverage.notFreezable.isEmpty)
        #expect(coverage.findings.obstacles.isEmpty)
    }

    @Test("a filesystem in a file limits the run to crash and is not frozen, since that can hang the agent")
    func loop() throws {
        let coverage = try cover(
            Sample.filesystem("/", on: "vda1", disks: "vda"), Sample.filesystem("/image", on: "loop0"), choosing: "vda")
        #expect(coverage.findings.weight(of: "filesystem.loop") == .limits(.crash))
        #expect(coverage.freezable.map(\.mountpoint) == ["/"])
        #expect(coverage.notFreezable.map(\.mountpoint) == ["/image"])
    }

    @Test("a read-only image in a file, such as a snap, does not matter")
    func readOnlyLoop() throws {
        let coverage = try cover(
            Sample.filesystem("/", on: "vda1", disks: "vda"), Sample.filesystem("/snap/core", on: "loop1", "squashfs"),
            choosing: "vda")
        #expect(coverage.findings.obstacles.isEmpty)
        #expect(coverage.notFreezable.isEmpty)
    }

    @Test("a filesystem that matches no disk is frozen with the others")
    func unmapped() throws {
        let coverage = try cover(
            Sample.filesystem("/", on: "vda1", disks: "vda"), Sample.filesystem("/odd", on: "dm-7", fullyMapped: false),
            choosing: "vda")
        #expect(coverage.freezable.map(\.mountpoint) == ["/", "/odd"])
        #expect(coverage.findings.weight(of: "filesystem.unmapped") == .note)
        #expect(coverage.findings.obstacles.isEmpty)
    }

    @Test("a filesystem of which no known disk is chosen is frozen all the same when others are unknown")
    func partlyMapped() throws {
        let coverage = try cover(
            Sample.filesystem("/", on: "vda1", disks: "vda"),
            Sample.filesystem("/odd", on: "dm-7", disks: "vdb", fullyMapped: false), choosing: "vda")
        #expect(coverage.freezable.map(\.mountpoint) == ["/", "/odd"])
        #expect(coverage.findings.weight(of: "filesystem.unmapped") == .note)
    }

    @Test("a choice that splits a filesystem is refused and names the disks left behind")
    func splitFilesystem() throws {
        let coverage = try cover(Sample.filesystem("/data", on: "dm-0", disks: "vdb", "vdc", "vdd"), choosing: "vdc")
        #expect(coverage.guardFindings.weight(of: "topology.split") == .refuses(.refused))
        #expect(coverage.findings["topology.split"]?.text.contains("/data: vdb and vdd would be left behind") == true)
    }

    @Test("a choice that splits what is known of a partly known filesystem is refused too")
    func splitPartlyMapped() throws {
        let coverage = try cover(
            Sample.filesystem("/data", on: "dm-0", disks: "vdb", "vdc", fullyMapped: false), choosing: "vdb")
        #expect(coverage.findings.weight(of: "topology.split") == .refuses(.refused))
    }

    @Test("a choice that splits a volume group is refused, even where nothing is mounted from it")
    func splitVolumeGroup() throws {
        let group = GuestSurvey.VolumeGroup(name: "vgdata", targets: Set(try Sample.targets("vda", "vdb")))
        let coverage = try cover(
            Sample.filesystem("/", on: "vda1", disks: "vda"), choosing: "vda",
            survey: GuestSurvey(volumeGroups: [group]))
        #expect(coverage.findings.weight(of: "topology.split") == .refuses(.refused))
        #expect(
            coverage.findings["topology.split"]?.text.contains("volume group vgdata: vdb would be left behind") == true)
    }

    @Test("a volume group that is taken whole or left whole is no split")
    func wholeVolumeGroup() throws {
        let group = GuestSurvey.VolumeGroup(name: "vgdata", targets: Set(try Sample.targets("vdb", "vdc")))
        let survey = GuestSurvey(volumeGroups: [group])
        let root = try Sample.filesystem("/", on: "vda1", disks: "vda")
        #expect(try cover(root, choosing: "vda", survey: survey).guardFindings.isEmpty)
        #expect(try cover(root, choosing: "vda", "vdb", "vdc", survey: survey).guardFindings.isEmpty)
    }

    @Test("without guest-exec it is noted that unmounted volume groups are not seen")
    func noSurvey() throws {
        let coverage = try cover(Sample.filesystem("/", on: "vda1", disks: "vda"), choosing: "vda", survey: nil)
        #expect(coverage.findings.weight(of: "topology.unseen") == .note)
    }

    @Test("with nothing that can freeze on the chosen disks the run can reach crash at most")
    func nothingFreezable() throws {
        let bare = try cover(Sample.filesystem("/", on: "vda1", disks: "vda"), choosing: "vdb")
        #expect(bare.freezable.isEmpty)
        #expect(bare.findings.weight(of: "freeze.nothing") == .limits(.crash))
        #expect(ceiling(bare) == .crash)
        let firmwareAlone = try cover(Sample.filesystem("/boot/efi", on: "vda1", "vfat", disks: "vda"), choosing: "vda")
        #expect(ceiling(firmwareAlone) == .crash)
    }
}
