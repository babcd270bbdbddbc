// SPDX-License-Identifier: Apache-2.0

/// Where QEMU and the definitions disagree.
extension Recovery {
    private func saveAgain() async throws(Failure) {
        do throws(Failure) {
            try await ports.hypervisor.saveAgain()
        } catch {
            throw Failure(
                .quarantined, "\(guest.name): libvirt cannot save what it knows of the guest: \(error.message)",
                hint: "leave it and the daemon running, and make libvirt's folders writable")
        }
    }

    /// Tells the disagreement, and with `repairs` makes the saved definition name what QEMU writes to. What runs is not
    /// touched: libvirt's running definition follows at the guest's next start.
    func repair(_ repairs: Bool, _ report: inout RecoverReport.Guest) async throws(Failure) {
        let facts = try await ports.hypervisor.look(for: [])
        let wrong = facts.disks.filter { $0.disagreement != nil }
        guard !wrong.isEmpty else {
            // What all agree on may be in the daemon's memory alone.
            if repairs, !isDryRun { try await saveAgain() }
            return
        }
        let disks = wrong.compactMap { disk in
            (disk.qemuChain ?? disk.headerChain)?.first.map { newest in
                RecoverReport.Quarantine.Disk(
                    target: disk.target, saved: disk.savedImage, running: disk.activeImage?.path, newest: newest)
            }
        }
        report.quarantine = .init(disks: disks, isRepaired: false, isOver: false)
        // A guest that is off stands on the right image, with a wrong chain below it in its definition.
        let stale = disks.filter { $0.saved != $0.newest.path || facts.power == .shutOff }
        guard repairs, facts.isPersistent else { return }
        guard !isDryRun, !stale.isEmpty else {
            report.quarantine?.isRepaired = stale.isEmpty
            return
        }
        for disk in wrong {
            guard let chain = disk.qemuChain, let top = chain.first else { continue }
            // What it is made to name must be whole.
            let headers = try await ports.images.chain(of: top)
            guard headers.map(\.path) == chain.map(\.path) else {
                throw Failure(
                    .quarantined,
                    "\(disk.target): QEMU's chain and the headers of its images disagree too: nothing was repaired",
                    hint: "qemu-img info -U --backing-chain \(top.path)")
            }
        }
        let names = Dictionary(stale.map { ($0.target, $0.newest) }, uniquingKeysWith: { first, _ in first })
        for disk in stale {
            tell(
                .note(
                    "\(disk.target): the saved definition is made to name \(disk.newest.path), not \(disk.saved ?? "nothing")"
                ))
        }
        try await ports.hypervisor.define(naming: names)
        let now = try await ports.hypervisor.look(for: []).disks
        let saved = now.filter { disk in names[disk.target] != nil }.allSatisfy {
            $0.savedImage == names[$0.target]?.path
        }
        guard saved else {
            throw Failure(.quarantined, "\(guest.name): libvirt took the repaired definition and does not show it")
        }
        report.quarantine?.isRepaired = true
        report.quarantine?.isOver = now.allSatisfy { $0.disagreement == nil }
    }
}
