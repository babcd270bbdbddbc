// SPDX-License-Identifier: Apache-2.0

import Quiesce

struct ScriptedImages: ImageStore {
    let log: Log
    let host: Host

    func obstacles(to disks: [MemberPlan.Disk]) async -> [Finding] { [] }

    func stage(_ disks: [MemberPlan.Disk]) async throws(Failure) {
        try log.answer(.stage, disks.map(\.overlay).joined(separator: " "))
        host.stage(disks.map(\.overlay))
    }

    func discard(_ overlays: [String]) async {
        log.hear(.discard, overlays.joined(separator: " "))
        host.remove(overlays)
    }

    func remove(_ overlays: [String], of run: RunID) async throws(Failure) {
        try log.answer(.remove, overlays.joined(separator: " "))
        host.remove(overlays)
    }

    func check(_ disk: MemberPlan.Disk) async throws(Failure) { try log.answer(.headerCheck, disk.overlay) }
}

struct ScriptedVerifier: ImageVerifier {
    let log: Log
    var proofs: [FilesystemProof] = [Sample.proof("vda1", frozen: true), Sample.proof("vdb", frozen: true)]

    func check(_ disks: [MemberReport.Disk], thoroughly: Bool) async -> [FilesystemProof] {
        log.hear(.imageCheck)
        return proofs
    }
}
