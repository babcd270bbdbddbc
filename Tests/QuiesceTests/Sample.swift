// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

/// A guest with nothing wrong: `db01`, its root on vda beside an EFI partition, its data on vdb.
enum Sample {
    /// 2026-11-22T21:31:05.000Z, an hour east of Greenwich.
    static let start = Timestamp(milliseconds: 1_795_383_065_000, offset: 3600)
    static let gibibyte = Int64(1) << 30
    static let rootOverlay = "/srv/kvm/db01-root.nightly"
    static let dataOverlay = "/srv/kvm/db01-data.nightly"

    static func target(_ text: String) throws -> DiskTarget { try #require(DiskTarget(text)) }
    static func targets(_ texts: String...) throws -> [DiskTarget] { try texts.map(target) }
    static func name(_ text: String = "nightly") throws -> SnapshotName { try #require(SnapshotName(text)) }
    static func request() throws -> SnapshotRequest { SnapshotRequest(name: try name()) }

    static func disk(_ name: String, _ path: String, size: Int64 = 40 * gibibyte, depth: Int = 1) throws -> DiskFacts {
        let below = (1..<max(depth, 1)).map { ImageLayer(path: "\(path).below\($0)", format: "qcow2") }
        let chain = [ImageLayer(path: path, format: "qcow2")] + below
        return DiskFacts(
            target: try target(name), source: .file(path), format: "qcow2", liveChain: chain, savedImage: path,
            qemuChain: chain, virtualSizeBytes: size)
    }

    static func root(depth: Int = 1) throws -> DiskFacts { try disk("vda", "/srv/kvm/db01-root.qcow2", depth: depth) }
    static func data() throws -> DiskFacts { try disk("vdb", "/srv/kvm/db01-data.qcow2", size: 200 * gibibyte) }

    static func filesystem(
        _ mountpoint: String, on device: String, _ type: String = "ext4", disks: String..., fullyMapped: Bool = true,
        readOnly: Bool = false
    ) throws -> Filesystem {
        Filesystem(
            device: device, mountpoint: mountpoint, type: type, targets: Set(try disks.map(target)),
            isFullyMapped: fullyMapped, isReadOnly: readOnly)
    }

    static func filesystems() throws -> [Filesystem] {
        [
            try filesystem("/var/lib/mysql", on: "vdb", "xfs", disks: "vdb"),
            try filesystem("/", on: "vda1", disks: "vda"),
            try filesystem("/boot/efi", on: "vda15", "vfat", disks: "vda"),
        ]
    }

    static func agent(_ filesystems: [Filesystem]? = nil, survey: GuestSurvey? = GuestSurvey()) throws -> AgentReport {
        AgentReport(
            version: "7.2.22", system: GuestSystem(id: "debian", prettyName: "Debian GNU/Linux 12"),
            filesystems: try filesystems ?? Self.filesystems(), survey: survey)
    }

    static func facts(disks: [DiskFacts]? = nil, agent report: AgentReport? = nil) throws -> GuestFacts {
        GuestFacts(
            guest: GuestIdentity(
                name: "db01", uuid: "6f0f1b7e-8a53-4f5b-9e55-0c7cc5f0a001", uri: "qemu:///system"),
            versions: Versions(stillpoint: "1.0", libvirt: "9.0.0", qemu: "7.2.22"), power: .running,
            disks: try disks ?? [root(), data()], agent: .answers(try report ?? agent()),
            freeBytes: ["/srv/kvm": 312 * gibibyte])
    }

    static func facts(filesystems: [Filesystem], survey: GuestSurvey? = GuestSurvey()) throws -> GuestFacts {
        try facts(agent: agent(filesystems, survey: survey))
    }

    static func facts(applications: [ApplicationFacts]) throws -> GuestFacts {
        var report = try agent()
        report.applications = applications
        return try facts(agent: report)
    }

    static func application(
        _ name: String, instance: String? = nil, policy: HookPolicy? = nil, state: ApplicationFacts.State = .running,
        paths: [String] = []
    ) -> ApplicationFacts {
        let hook = Hook(name: name, origin: "built in", sha256: "5e", text: "exit 0")
        let choice = HookChoice(hook, place: policy == .fail ? "--hook" : nil, policy: policy)
        return ApplicationFacts(choice, instance: instance, state: state, version: "1.0", paths: paths)
    }

    static func proof(
        _ place: String, frozen: Bool?, _ result: Check.Result = .ok, _ detail: String = "clean", kind: String = "ext4"
    ) -> FilesystemProof {
        FilesystemProof(
            place: place, targets: [String(place.prefix(3))], kind: kind, uuid: nil, frozen: frozen,
            check: Check(result, detail))
    }
}

extension [Finding] {
    subscript(code: String) -> Finding? { first { $0.code == code } }
    func weight(of code: String) -> Finding.Weight? { self[code]?.weight }
    var codes: [String] { map(\.code) }
    /// What speaks against the run or limits it.
    var obstacles: [String] {
        compactMap { finding in
            switch finding.weight {
            case .refuses, .limits: finding.code
            case .note, .fine: nil
            }
        }
    }
}
