// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce
@testable import QuiesceKVM

/// Runs of one guest with two disks and a third that is left out, as a user would see them.
enum Examples {
    /// 2026-11-22T21:31:05.000Z, an hour east.
    static let start = Timestamp(milliseconds: 1_795_383_065_000, offset: 3600)
    static let gibibyte = Int64(1) << 30

    static func target(_ text: String) throws -> DiskTarget { try #require(DiskTarget(text)) }

    static func phase(
        _ name: Phase, _ startMs: Int64, _ tookMs: Int64, _ detail: String? = nil, _ status: PhaseReport.Status = .ok
    ) -> PhaseReport {
        PhaseReport(name: name, status: status, startMs: startMs, tookMs: tookMs, detail: detail)
    }

    static func disk(_ name: String, _ image: String, gibibytes: Int64) throws -> MemberReport.Disk {
        let path = "/srv/kvm/db01-\(image)"
        return MemberReport.Disk(
            target: try target(name), frozenImage: path + ".qcow2",
            chain: [
                ImageLayer(path: path + ".qcow2", format: "qcow2"), ImageLayer(path: path + ".raw", format: "raw"),
            ],
            overlay: path + ".20261122-223105", format: "qcow2", virtualSizeBytes: gibibytes * gibibyte)
    }

    static func snapshot(description: String? = nil) throws -> MemberReport.Snapshot {
        .init(
            name: "20261122-223105", description: description,
            disks: [try disk("vda", "root", gibibytes: 40), try disk("vdb", "data", gibibytes: 200)],
            excluded: [.init(target: try target("vdc"), reason: "config.yaml line 12")])
    }

    static func freeze(frozen: Int?, thawed: Int?, windowMs: Int64) -> MemberReport.Freeze {
        .init(
            mountpoints: ["/", "/var/lib/mysql", "/var/lib/postgresql"], notFreezable: ["/boot/efi"], expected: 3,
            guestReported: .init(frozen: frozen, thawed: thawed), windowMs: windowMs, hookMs: 0, maxFreezeMs: 5000)
    }

    static let before = [
        phase(.preflight, 0, 310), phase(.stage, 310, 45, "2 overlays"), phase(.prepare, 355, 1840, "sync"),
    ]
    static let window = [phase(.freeze, 2195, 58), phase(.cut, 2253, 21, "2 disks, one cut"), phase(.thaw, 2274, 5)]
    static let after = [phase(.register, 2279, 6), phase(.verify, 2285, 410)]

    static func member(
        _ snapshot: MemberReport.Snapshot?, _ freeze: MemberReport.Freeze?, _ phases: [PhaseReport],
        chain: Check = Check(.ok, "QEMU, the running and the saved definition agree"),
        filesystem: Check = Check(.ok, "3/3 clean")
    ) -> MemberReport {
        MemberReport(
            domain: .db01, agent: .init(version: "7.2.22", transport: .guestExec), deadMan: .absent, guardian: .absent,
            snapshot: snapshot, freeze: freeze, applications: [], phases: phases,
            verification: .init(
                chain: chain, filesystem: filesystem, application: Check(.notChecked, "not asked for")))
    }

    static func report(
        _ member: MemberReport, _ consistency: Consistency, _ status: Quiesce.ExitStatus,
        because reasons: [String] = [],
        required: Consistency = .filesystem
    ) -> RunReport {
        let at = start.adding(milliseconds: 2263)
        let cut = RunReport.Cut(at: at, guestAt: at.adding(milliseconds: 1500), skewMs: 4)
        return RunReport(
            schema: RunReport.schema, run: "0123456789abcdef0123456789abcdef", startedAt: start,
            finishedAt: start.adding(milliseconds: 2695),
            required: required, verdict: Verdict(consistency: consistency, reasons: reasons), exit: status.rawValue,
            error: consistency == .none ? reasons.last.map { Cause(Failure(status, $0)) } : nil,
            cut: member.snapshot == nil ? nil : cut,
            versions: Versions(stillpoint: "1.0", libvirt: "9.0.0", qemu: "7.2.22"),
            startedBy: .init(uid: 0, user: "root"), members: [member])
    }

    static func success(description: String? = "before the upgrade") throws -> RunReport {
        report(
            member(
                try snapshot(description: description), freeze(frozen: 3, thawed: 3, windowMs: 84),
                before + window + after), .filesystem, .reached)
    }

    /// A begun run of two disks, shown as flat files.
    static func handover() throws -> HandoverReport {
        let report = try success()
        let use = SnapshotUse(
            .begin, of: try #require(RunID(report.run)), "20261122-223105", .db01, label: "nightly", since: .cut,
            until: Timestamp.cut.adding(milliseconds: 12 * 3_600_000), way: .fuse,
            folder: "/var/lib/stillpoint/export/db01", files: ["vda.raw", "vdb.raw"])
        return HandoverReport(
            report, manifest: "/var/lib/stillpoint/runs/\(report.run)/manifest.json", use: use,
            disks: exported(report, use))
    }

    static func export() throws -> ExportReport {
        let report = try success()
        let use = SnapshotUse(
            .export, of: try #require(RunID(report.run)), "20261122-223105", .db01, since: .cut, way: .nbd,
            folder: "/run/db 01")
        return ExportReport(report, use, disks: exported(report, use), isDetached: true)
    }

    private static func exported(_ report: RunReport, _ use: SnapshotUse) -> [ExportedDisk] {
        report.members.first.map { ImageExport.disks(of: $0, use) } ?? []
    }

    /// One disk of a copy, made or to be made.
    private static func flat(_ name: String, gibibytes: Int64, isMade: Bool) throws -> FlatImage {
        var image = FlatImage(
            target: try target(name), file: "\(name).qcow2", format: .qcow2, virtualSizeBytes: gibibytes << 30,
            allocatedBytes: isMade ? 1_234_567_890 : gibibytes << 29)
        if isMade { (image.fileBytes, image.sha256) = (1_234_567_890, String(repeating: "5e1f", count: 16)) }
        return image
    }

    private static func flats(isMade: Bool) throws -> [FlatImage] {
        [try flat("vda", gibibytes: 40, isMade: isMade), try flat("vdb", gibibytes: 200, isMade: isMade)]
    }

    static func copy(isDryRun: Bool = false) throws -> CopyReport {
        let report = try prepared()
        var copy = CopyReport(
            report, try #require(report.members.first), at: .cut, to: "/backup/db01",
            disks: try flats(isMade: !isDryRun),
            papers: ["SHA256SUMS", "copy.json", "domain.xml", "manifest.json", "nvram.fd"], isCompressed: true,
            isVerified: true)
        (copy.isDryRun, copy.tookMs) = (isDryRun, isDryRun ? 0 : 83_000)
        return copy
    }

    static func restored(isDryRun: Bool = false) throws -> RestoreReport {
        let report = try prepared()
        var restored = RestoreReport(
            .web, of: report, try #require(report.members.first), from: "/backup/db01",
            to: "/var/lib/libvirt/images/web", disks: try flats(isMade: !isDryRun),
            stripped: ["hostdev pci", "interface bridge br0, now on the network default"],
            unchecked: isDryRun ? [try target("vdb")] : [])
        (restored.isDryRun, restored.tookMs) = (isDryRun, isDryRun ? 0 : 61_000)
        return restored
    }

    /// Three engines, one of which could not be prepared, with locks held.
    static func prepared() throws -> RunReport {
        func found(_ name: String, _ instance: String? = nil, _ version: String) -> ApplicationFacts {
            let hook = Hook(name: name, origin: "built in", sha256: "5e1f", text: "")
            return ApplicationFacts(
                HookChoice(hook), instance: instance, state: .running, role: .primary, version: version)
        }
        var member = member(
            try snapshot(), freeze(frozen: 3, thawed: 3, windowMs: 84),
            before + [phase(.preFreeze, 2165, 30, "3 of 3 ready")] + window
                + [phase(.postThaw, 2279, 41)] + [phase(.register, 2320, 6), phase(.verify, 2326, 410)])
        let lsn = Position(
            kind: "postgresql", relation: .atLeast,
            fields: [
                "lsn": .text("0/3A1F2C8"), "timeline": .number(1), "walSegment": .text("000000010000000000000003"),
            ])
        let gtid = Position(
            kind: "mariadb", relation: .exact,
            fields: ["file": .text("binlog.000042"), "position": .number(1037), "gtid": .text("0-1-4711")])
        member.applications = [
            .init(
                found("postgresql", "15/main", "15.18"), .prepared, tookMs: ["pre-freeze": 12], position: lsn,
                facts: ["databases": .list(["app", "postgres"])],
                artifacts: [.init(name: "postgresql-15-main-backup_label", sha256: "ab12")]),
            .init(
                found("mysql", nil, "10.11.19"), .prepared, held: true, holdMs: 112,
                tookMs: ["prepare": 310, "pre-freeze": 18, "post-thaw": 20], position: gtid),
            .init(found("redis", nil, "7.0.15"), .failed, "a rewrite is in progress"),
        ]
        return report(
            member, .filesystem, .filesystemOnly, because: ["redis: a rewrite is in progress"], required: .application)
    }

    static func drilled() throws -> RunReport {
        var report = try prepared()
        report.schema = RunReport.drillSchema
        report.members[0].snapshot = nil
        report.cut = nil
        return report
    }

    static func crash() throws -> RunReport {
        report(
            member(
                try snapshot(), nil,
                [phase(.preflight, 0, 310), phase(.stage, 310, 45), phase(.cut, 355, 21, "2 disks, one cut")]
                    + [phase(.register, 376, 6), phase(.verify, 382, 40)],
                filesystem: Check(.notChecked, "not frozen")), .crash, .reached, because: ["not frozen: --no-freeze"],
            required: .crash)
    }

    /// One filesystem too few was frozen, and the level was required.
    static func undone() -> RunReport {
        report(
            member(
                nil, freeze(frozen: 2, thawed: 2, windowMs: 84), before + window + [phase(.undo, 2279, 512)],
                chain: Check(.notChecked, "taken back"), filesystem: Check(.notChecked, "taken back")), .none,
            .requiredLevelMissed,
            because: [
                "2 filesystems frozen of 3 expected", "crash is below the required filesystem: the snapshot is undone",
            ])
    }

    static func freezeFailed() -> RunReport {
        let cause = "guest-fsfreeze-freeze-list: agent refused, GenericError: failed to freeze /var/lib/mysql: "
        return report(
            member(
                nil, freeze(frozen: nil, thawed: 0, windowMs: 61),
                before + [
                    phase(.freeze, 2195, 58, cause + "Input/output error", .failed),
                    phase(.cut, 2253, 0, nil, .skipped), phase(.thaw, 2253, 3), phase(.undo, 2256, 20),
                ], chain: Check(.notChecked, "no snapshot"), filesystem: Check(.notChecked, "no snapshot")), .none,
            .freezeFailed, because: ["db01 could not be frozen: \(cause)Input/output error; it is thawed"])
    }

    static func maybeFrozen() -> RunReport {
        report(
            member(
                nil, freeze(frozen: nil, thawed: nil, windowMs: 184_000),
                before + [
                    phase(.freeze, 2195, 4000, "no answer in time, the command may still run", .failed),
                    phase(.cut, 6195, 0, nil, .skipped), phase(.thaw, 6195, 180_000, "no answer in time", .failed),
                ], chain: Check(.notChecked, "no snapshot"), filesystem: Check(.notChecked, "no snapshot")), .none,
            .maybeFrozen, because: ["db01 may still be frozen: no thaw was confirmed"])
    }

    static func plan(_ change: (inout SnapshotRequest, inout GuestFacts) throws -> Void = { _, _ in }) throws
        -> MemberPlan
    {
        var request = SnapshotRequest(name: try #require(SnapshotName("nightly")))
        var facts = try facts()
        try change(&request, &facts)
        return MemberPlan(of: facts, for: request)
    }

    static func facts() throws -> GuestFacts {
        func disk(_ name: String, _ file: String, _ gibibytes: Int64, below: [ImageLayer] = []) throws -> DiskFacts {
            let chain = [ImageLayer(path: "/srv/kvm/\(file)", format: "qcow2")] + below
            return DiskFacts(
                target: try target(name), source: .file("/srv/kvm/\(file)"), format: "qcow2", liveChain: chain,
                savedImage: "/srv/kvm/\(file)", qemuChain: chain, virtualSizeBytes: gibibytes * gibibyte)
        }
        func mount(_ mountpoint: String, _ device: String, _ type: String, _ disk: String) throws -> Filesystem {
            Filesystem(
                device: device, mountpoint: mountpoint, type: type, targets: [try target(disk)],
                usedBytes: 21 * gibibyte, totalBytes: 39 * gibibyte)
        }
        let cdrom = DiskFacts(
            target: try target("hda"), device: .cdrom, source: .none, format: "raw", isReadOnly: true)
        return GuestFacts(
            guest: .db01, versions: Versions(stillpoint: "1.0", libvirt: "9.0.0", qemu: "7.2.22"), power: .running,
            disks: [
                try disk("vda", "db01-root.qcow2", 40),
                try disk("vdb", "db01-data.monday", 200, below: [.init(path: "/srv/kvm/db01-data.raw", format: "raw")]),
                cdrom,
            ],
            agent: .answers(
                AgentReport(
                    version: "7.2.22", system: GuestSystem(id: "debian", prettyName: "Debian GNU/Linux 12 (bookworm)"),
                    filesystems: [
                        try mount("/", "vda1", "ext4", "vda"), try mount("/boot/efi", "vda15", "vfat", "vda"),
                        try mount("/var/lib/mysql", "vdb", "xfs", "vdb"),
                    ], survey: GuestSurvey())), freeBytes: ["/srv/kvm": 312 * gibibyte])
    }
}

extension Examples {
    /// One that virsh made, inside the images.
    static var foreignRow: ListReport.Row {
        ListReport(
            Lineage(
                of: .db01, active: [:],
                snapshots: [Lineage.Snapshot(foreign: RegisteredSnapshot(name: "by-hand"), isRemembered: false)]),
            allocated: [:]
        ).snapshots[0]
    }

    /// Two snapshots, a revert to the first, and one by virsh after it.
    static func branched() throws -> ListReport {
        let disk = try target("vda")
        func chain(_ names: String...) -> [ImageLayer] {
            names.map { ImageLayer(path: "/srv/kvm/db01-root.\($0)", format: "qcow2") }
        }
        func entry(_ name: String, _ digit: Character) throws -> CatalogueEntry {
            CatalogueEntry(
                run: try #require(RunID(String(repeating: digit, count: 32))), guest: .db01, name: name,
                createdAt: Timestamp(milliseconds: 1_795_383_065_000, offset: 3600), consistency: .filesystem,
                fate: .kept)
        }
        let before = try entry("before-upgrade", "a")
        let nightly = try entry("nightly", "b")
        let theirs = RegisteredSnapshot(name: "theirs", parent: "before-upgrade", createdAt: 1_795_383_965)
        let lineage = Lineage(
            of: .db01, active: [disk: chain("theirs", "revert-1", "qcow2")],
            abandoned: [
                Lineage.Abandoned(
                    branch: Branch(
                        run: nightly.run, guest: .db01,
                        leftAt: Timestamp(milliseconds: 1_795_383_665_000, offset: 3600),
                        revertedTo: "before-upgrade", leaves: [], current: nil, forgotten: [], merged: [:]),
                    chains: [disk: chain("nightly", "before-upgrade", "qcow2")])
            ],
            snapshots: [
                .init(
                    name: "before-upgrade", entry: before, overlays: [disk: "/srv/kvm/db01-root.before-upgrade"],
                    createdAt: before.createdAt.seconds, disks: []),
                .init(
                    name: "nightly", entry: nightly, overlays: [disk: "/srv/kvm/db01-root.nightly"],
                    createdAt: nightly.createdAt.seconds, disks: []),
                .init(
                    name: "theirs", entry: nil, registered: theirs, overlays: [disk: "/srv/kvm/db01-root.theirs"],
                    createdAt: theirs.createdAt, disks: []),
            ])
        return ListReport(lineage, allocated: ["/srv/kvm/db01-root.theirs": 196 << 10])
    }
}
