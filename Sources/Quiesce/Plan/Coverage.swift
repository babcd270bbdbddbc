// SPDX-License-Identifier: Apache-2.0

/// Which filesystems a choice of disks takes in, which of them can freeze, and whether the choice splits anything.
struct Coverage {
    /// One for each distinct device, outermost mountpoint first.
    private(set) var freezable: [Filesystem] = []
    private(set) var notFreezable: [Filesystem] = []
    /// Filesystems and volume groups that the choice would split.
    private(set) var guardFindings: [Finding] = []
    private(set) var findings: [Finding] = []

    /// Types whose kernel driver has no freeze (FIFREEZE says EOPNOTSUPP, which qemu-ga skips without a word).
    private static let cannotFreeze: Set = [
        "vfat", "msdos", "exfat", "iso9660", "udf", "squashfs", "erofs", "ntfs", "fuseblk", "minix", "zfs",
    ]
    private static let neverWritten: Set = ["iso9660", "squashfs", "erofs", "udf"]
    private static let bootFolders: Set = ["/boot/efi", "/efi", "/boot"]

    init(of facts: GuestFacts, chosen: Set<DiskTarget>) {
        guard let report = facts.agent.report else { return }
        var seen: Set<String> = []
        let byDepth = report.filesystems.sorted { $0.mountpoint.utf8.count < $1.mountpoint.utf8.count }
        for filesystem in byDepth where seen.insert(filesystem.device).inserted {
            place(filesystem, chosen)
        }
        for group in report.survey?.volumeGroups ?? [] {
            guardAgainstSplit("volume group \(group.name)", group.targets, chosen)
        }
        if let disks = report.survey?.zfsDisks.intersection(chosen), !disks.isEmpty {
            findings.append(
                Finding(
                    .limits(.crash), "filesystem.cannotFreeze",
                    "\(Self.list(disks)) carries a ZFS pool, which the guest agent cannot freeze",
                    fix: ["leave its disks out, or move the data to ext4, XFS or btrfs"]))
        }
        if report.survey == nil {
            findings.append(
                Finding(
                    .note, "topology.unseen",
                    "guest-exec is not allowed: volume groups are seen only through the filesystems mounted from them"))
        }
        if freezable.isEmpty {
            findings.append(
                Finding(
                    .limits(.crash), "freeze.nothing",
                    "no filesystem that can freeze lies on the chosen disks: there is nothing to hold still"))
        }
        findings += guardFindings
    }

    private mutating func place(_ filesystem: Filesystem, _ chosen: Set<DiskTarget>) {
        let onChosen = !filesystem.targets.isDisjoint(with: chosen)
        if filesystem.targets.isEmpty || !filesystem.isFullyMapped {
            placeUnmapped(filesystem, chosen)
            return
        }
        guard onChosen else {
            if !filesystem.isReadOnly {
                findings.append(
                    Finding(
                        .note, "filesystem.uncovered",
                        "\(filesystem.mountpoint) lies on \(Self.list(filesystem.targets)), which is not part of the snapshot"
                    ))
            }
            return
        }
        guardAgainstSplit("filesystem \(filesystem.mountpoint)", filesystem.targets, chosen)
        sort(filesystem)
    }

    private mutating func sort(_ filesystem: Filesystem) {
        guard Self.cannotFreeze.contains(filesystem.type) else {
            freezable.append(filesystem)
            return
        }
        if filesystem.isReadOnly || Self.neverWritten.contains(filesystem.type) { return }
        notFreezable.append(filesystem)
        if filesystem.type == "vfat", Self.bootFolders.contains(filesystem.mountpoint) { return }
        findings.append(
            Finding(
                .limits(.crash), "filesystem.cannotFreeze",
                "\(filesystem.mountpoint) is \(filesystem.type), which the kernel cannot freeze",
                fix: ["leave its disk out, or move the data to ext4, XFS or btrfs"]))
    }

    /// The guest's answer does not say which of our disks carry it. Freezing one too many is safe, one too few is not.
    private mutating func placeUnmapped(_ filesystem: Filesystem, _ chosen: Set<DiskTarget>) {
        if filesystem.device.hasPrefix("loop") {
            if filesystem.isReadOnly || Self.neverWritten.contains(filesystem.type) { return }
            // Frozen after the filesystem its image lies on, it deadlocks the agent; frozen before, it is fine: no telling.
            notFreezable.append(filesystem)
            findings.append(
                Finding(
                    .limits(.crash), "filesystem.loop",
                    "\(filesystem.mountpoint) is mounted from a file by a loop device, which cannot be frozen safely",
                    fix: ["unmount it before the snapshot, or give it a disk of its own"]))
            return
        }
        findings.append(
            Finding(
                .note, "filesystem.unmapped",
                "\(filesystem.mountpoint) (\(filesystem.device)) lies on a disk that the definition does not have; it is frozen with the others"
            ))
        guardAgainstSplit("filesystem \(filesystem.mountpoint)", filesystem.targets, chosen)
        sort(filesystem)
    }

    private mutating func guardAgainstSplit(_ what: String, _ targets: Set<DiskTarget>, _ chosen: Set<DiskTarget>) {
        let missing = targets.subtracting(chosen)
        guard !missing.isEmpty, missing != targets else { return }
        guardFindings.append(
            Finding(
                .refuses(.refused), "topology.split",
                "the choice of disks splits \(what): \(Self.list(missing)) would be left behind",
                fix: ["take \(Self.list(missing)) too, or leave \(Self.list(targets)) out together"]))
    }

    private static func list(_ targets: Set<DiskTarget>) -> String {
        targets.sorted().map(\.description).joined(separator: " and ")
    }
}
