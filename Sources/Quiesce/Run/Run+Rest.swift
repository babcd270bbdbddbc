// SPDX-License-Identifier: Apache-2.0

/// A guest that is off while it is cut: shut down before, started again after.
extension SnapshotRun {
    func shutDown(_ record: inout RunRecord) async throws(Failure) {
        guard let limit = plan.shutsDown else { return }
        tell(.began(.shutdown))
        let start = ports.time.now
        do throws(Failure) {
            try await ports.journal.record(.shuttingDown, of: run, at: ports.time.wall)
            // From here on: what was asked for may still come about after we gave up waiting.
            record.owesStart = true
            let reason = try await ports.hypervisor.shutDown(within: limit, interruption: interruption)
            record.stopReason = reason
            record.add(.shutdown, .ok, from: start, to: ports.time.now, reason.rawValue)
            try interruption.check()
        } catch {
            if record.stopReason == nil {
                record.add(.shutdown, .failed, from: start, to: ports.time.now, error.message)
            }
            throw error
        }
    }

    /// A guest that was shut down for the cut runs again, whatever became of the cut. Once.
    func startAgain(_ record: inout RunRecord) async {
        guard record.owesStart else { return }
        record.owesStart = false
        tell(.began(.start))
        let start = ports.time.now
        do throws(Failure) {
            try await ports.hypervisor.start()
            record.add(.start, .ok, from: start, to: ports.time.now)
        } catch {
            record.add(.start, .failed, from: start, to: ports.time.now, error.message)
            let message = "\(plan.guest.name) did not start again: \(error.message)"
            record.startFailure = message
            record.verdict.reasons.append(message)
            record.failure?.message += "; \(message)"
            // Where it comes after the verdict.
            if [.reached, .filesystemOnly, .crashOnly].contains(record.status) {
                record.status = .releaseFailed
                record.verdict.lead(with: message)
            }
            return tell(.note(message))
        }
        do throws(Failure) {
            try await ports.journal.record(.startedAgain, of: run, at: ports.time.wall)
        } catch {
            tell(.note("journal: \(error.message)"))
        }
    }
}
