// SPDX-License-Identifier: Apache-2.0

import Quiesce

struct ScriptedImages: ImageStore {
    let log: Log
    let host: Host

    func obstacles(to disks: [MemberPlan.Disk]) async -> [Finding] { [] }

    func stage(_ disks: [MemberPlan.Disk]) async throws(Failure) {
        try log.answer(.stage, disks.map(\.overlay).joined(separator: " "))
        host.stage(disks.map(\.overlay))
        host.lay(disks)
    }

    func discard(_ overlays: [String]) async -> [String] {
        do throws(Failure) { try log.answer(.discard, overlays.joined(separator: " ")) } catch { return overlays }
        host.remove(overlays)
        return []
    }

    func withdraw(_ disk: MemberPlan.Disk, of run: RunID) async throws(Failure) -> Bool {
        try log.answer(.withdraw, disk.overlay)
        defer { host.remove([disk.overlay]) }
        return host.overlays.contains(disk.overlay)
    }

    func chain(of image: ImageLayer) async throws(Failure) -> [ImageLayer] {
        let chain = host.disks.lazy.compactMap { $0.qemuChain ?? $0.liveChain }.first { $0.first?.path == image.path }
        return chain ?? host.chain(of: image.path) ?? [image]
    }

    func remove(_ overlays: [String], of run: RunID) async throws(Failure) {
        try log.answer(.remove, overlays.joined(separator: " "))
        host.remove(overlays)
    }

    func obstacles(to file: String, beside image: String) async -> [Finding] { [] }

    func reserve(_ file: String, beside image: String) async throws(Failure) {
        try log.answer(.reserve, file)
        host.stage([file])
    }

    func seal(_ file: String) async throws(Failure) -> Int64 {
        try log.answer(.seal, file)
        return 1 << 30
    }

    func contents(of file: String) async throws(Failure) -> [UInt8] {
        try log.answer(.contents, file)
        return Array("variables".utf8)
    }

    func overwrite(_ file: String, with bytes: [UInt8]) async throws(Failure) {
        try log.answer(.overwritten, "\(file) \(String(decoding: bytes, as: UTF8.self))")
    }

    func sha256(of bytes: [UInt8]) -> String { "of \(bytes.count) bytes" }

    func check(_ disk: MemberReport.Disk, holds name: String) async throws(Failure) {
        try log.answer(.insideCheck, "\(disk.frozenImage) \(name)")
    }

    func checkWhole(_ disk: MemberReport.Disk) async throws(Failure) { try log.answer(.wholeCheck, disk.frozenImage) }

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
