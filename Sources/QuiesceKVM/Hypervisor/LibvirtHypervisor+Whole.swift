// SPDX-License-Identifier: Apache-2.0

import Libvirt
import Quiesce

/// Snapshots that libvirt makes whole: with the guest's memory, and inside the images.
extension LibvirtHypervisor {
    func cut(
        _ order: CutOrder, withMemoryIn file: String, interruption: Interruption,
        progress: @escaping @Sendable (MemoryProgress) -> Void
    ) async throws(Failure) {
        let name = guest.domain.name
        // The call holds the guest's lane for as long as it takes: who watches it, or ends it, needs another.
        let other = try await guest.duplicated(lane: "memory")
        let watcher = Task {
            while !Task.isCancelled {
                try? await Task.sleep(for: .milliseconds(250))
                if interruption.status != nil {
                    _ = try? await other.call { domain throws(LibvirtError) in try domain.abortJob() }
                } else if let job = try? await other.call({ domain throws(LibvirtError) in try domain.job() }),
                    job.total > 0
                {
                    progress(MemoryProgress(done: job.done, total: job.total))
                }
            }
        }
        defer { watcher.cancel() }
        do throws(Failure) {
            try await make(SnapshotXML.cut(order, withMemoryIn: file), order, [.atomic, .reuseExternal, .live])
        } catch {
            guard let asked = interruption.status else { throw error }
            throw Failure(asked, "interrupted while the memory of \(name) was saved")
        }
    }

    func cutInside(_ order: CutOrder) async throws(Failure) {
        try await make(SnapshotXML.inside(order), order, [])
    }

    func removeInside(_ name: SnapshotName) async throws(Failure) {
        try await guest.run("remove the snapshot \(name)") { domain throws(LibvirtError) in
            try domain.snapshot(named: name.description).delete()
        }
    }

    private func make(
        _ xml: String, _ order: CutOrder, _ flags: Domain.SnapshotCreateFlags
    ) async throws(Failure) {
        let name = order.name.description
        let all = order.registers ? flags : flags.union(.noMetadata)
        let isTaken: Bool
        do throws(LibvirtError) {
            isTaken = try await guest.call { domain throws(LibvirtError) in
                if try domain.snapshots().contains(where: { $0.name == name }) { return true }
                try domain.createSnapshot(xml: xml, all)
                return false
            }
        } catch {
            throw Failure(.snapshotFailed, "the snapshot of \(guest.domain.name) failed: \(error.description)")
        }
        if isTaken { throw Failure(.snapshotFailed, "libvirt has got another snapshot named \(name) meanwhile") }
    }
}
