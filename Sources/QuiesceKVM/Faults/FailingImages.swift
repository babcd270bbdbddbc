// SPDX-License-Identifier: Apache-2.0

import Quiesce

extension ImageStore {
    var withFailpoints: any ImageStore {
        #if FAILPOINTS
        FailingImages(port: self)
        #else
        self
        #endif
    }
}

#if FAILPOINTS
private struct FailingImages: ImageStore {
    let port: any ImageStore

    func obstacles(to disks: [MemberPlan.Disk]) async -> [Finding] {
        await Failpoint.around("images.obstacles") { await port.obstacles(to: disks) }
    }

    func stage(_ disks: [MemberPlan.Disk]) async throws(Failure) {
        try await Failpoint.around("images.stage", Failpoint.broken) { () async throws(Failure) in
            try await port.stage(disks)
        }
    }

    func discard(_ overlays: [String]) async -> [String] {
        await Failpoint.around("images.discard") { await port.discard(overlays) }
    }

    func remove(_ overlays: [String], of run: RunID) async throws(Failure) {
        try await Failpoint.around("images.remove", Failpoint.broken) { () async throws(Failure) in
            try await port.remove(overlays, of: run)
        }
    }

    func withdraw(_ disk: MemberPlan.Disk, of run: RunID) async throws(Failure) -> Bool {
        try await Failpoint.around("images.withdraw", Failpoint.broken) { () async throws(Failure) in
            try await port.withdraw(disk, of: run)
        }
    }

    func chain(of image: ImageLayer) async throws(Failure) -> [ImageLayer] {
        try await Failpoint.around("images.chain", Failpoint.broken) { () async throws(Failure) in
            try await port.chain(of: image)
        }
    }

    func obstacles(to file: String, beside image: String) async -> [Finding] {
        await Failpoint.around("images.obstaclesToFile") { await port.obstacles(to: file, beside: image) }
    }

    func reserve(_ file: String, beside image: String) async throws(Failure) {
        try await Failpoint.around("images.reserve", Failpoint.broken) { () async throws(Failure) in
            try await port.reserve(file, beside: image)
        }
    }

    func seal(_ file: String) async throws(Failure) -> Int64 {
        try await Failpoint.around("images.seal", Failpoint.broken) { () async throws(Failure) in
            try await port.seal(file)
        }
    }

    func contents(of file: String) async throws(Failure) -> [UInt8] {
        try await Failpoint.around("images.contents", Failpoint.broken) { () async throws(Failure) in
            try await port.contents(of: file)
        }
    }

    func overwrite(_ file: String, with bytes: [UInt8]) async throws(Failure) {
        try await Failpoint.around("images.overwrite", Failpoint.broken) { () async throws(Failure) in
            try await port.overwrite(file, with: bytes)
        }
    }

    func sha256(of bytes: [UInt8]) -> String { port.sha256(of: bytes) }

    func checkWhole(_ disk: MemberReport.Disk) async throws(Failure) {
        try await Failpoint.around("images.checkWhole", Failpoint.broken) { () async throws(Failure) in
            try await port.checkWhole(disk)
        }
    }

    func check(_ disk: MemberReport.Disk, holds name: String) async throws(Failure) {
        try await Failpoint.around("images.checkInside", Failpoint.broken) { () async throws(Failure) in
            try await port.check(disk, holds: name)
        }
    }

    func check(_ disk: MemberPlan.Disk) async throws(Failure) {
        try await Failpoint.around("images.check", Failpoint.broken) { () async throws(Failure) in
            try await port.check(disk)
        }
    }
}
#endif
