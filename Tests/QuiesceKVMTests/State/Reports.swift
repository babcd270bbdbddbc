// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

extension GuestIdentity {
    static let db01 = GuestIdentity(
        name: "db01", uuid: "0f0e0d0c-0b0a-4908-8706-050403020100", uri: "qemu:///system")
    static let web = GuestIdentity(
        name: "web", uuid: "11111111-2222-4333-8444-555555555555", uri: "qemu:///system")
}

extension Timestamp {
    /// 2026-11-22T21:31:07.500Z, an hour east.
    static let cut = Timestamp(milliseconds: 1_795_383_067_500, offset: 3600)
}

extension RunReport {
    /// A run of one guest with these overlays.
    static func example(
        _ run: RunID = .random(), of guest: GuestIdentity = .db01, named name: String = "nightly", overlays: [String],
        at time: Timestamp = .cut
    ) throws -> RunReport {
        let vda = try #require(DiskTarget("vda"))
        let disks = overlays.map {
            MemberReport.Disk(
                target: vda, frozenImage: "/srv/base", chain: [ImageLayer(path: "/srv/base", format: "raw")],
                overlay: $0, format: "qcow2", virtualSizeBytes: 1 << 40)
        }
        let unchecked = Check(.notChecked, "not asked for")
        let member = MemberReport(
            domain: guest, agent: nil, deadMan: .absent, guardian: .absent,
            snapshot: .init(name: name, description: nil, disks: disks, excluded: []), freeze: nil, applications: [],
            phases: [], verification: .init(chain: unchecked, filesystem: unchecked, application: unchecked))
        return RunReport(
            schema: RunReport.schema, run: run.description, startedAt: time, finishedAt: time, required: .filesystem,
            verdict: Verdict(consistency: .filesystem), exit: 0, cut: .init(at: time, guestAt: nil, skewMs: nil),
            versions: Versions(stillpoint: "1", libvirt: "9.0.0", qemu: "7.2.22"),
            startedBy: .init(uid: 0, user: "root"), members: [member])
    }
}
