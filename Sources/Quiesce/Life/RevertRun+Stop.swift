// SPDX-License-Identifier: Apache-2.0

/// The guest off, as it was asked for, and on what it is to leave.
extension RevertRun {
    func stop(_ plan: RevertPlan, _ run: RunID) async throws(Failure) {
        do throws(Failure) {
            try interruption.check()
            let images = plan.disks.map(\.next.path)
            try await ports.journal.record(
                .reverting(to: plan.name, images: images, wasActive: plan.before != .shutOff), of: run,
                at: ports.time.wall)
            switch plan.stop {
            case .refuse: break
            case .shutDown(let limit) where plan.before != .shutOff: try await shutDown(run, within: limit)
            case .powerOff where plan.before != .shutOff:
                tell(.doing("taking the power away"))
                try await ports.life.powerOff()
            case .shutDown, .powerOff: break
            }
            try await awaitEnd(plan)
        } catch {
            await discard(plan)
            await standAsBefore(plan)
            throw error
        }
    }

    private func shutDown(_ run: RunID, within limit: Duration) async throws(Failure) {
        tell(.doing("asking it to shut down"))
        try await ports.journal.record(.shuttingDown, of: run, at: ports.time.wall)
        let end = ports.time.now + limit
        try await ports.life.askToShutDown()
        while try await ports.life.power() != .shutOff {
            if let status = interruption.status {
                throw Failure(
                    status,
                    "interrupted: \(guest.name) was asked to shut down and may still do it; its disks are as before")
            }
            guard ports.time.now < end else {
                throw Failure(
                    .refused, "\(guest.name) did not shut down within \(limit.forPeople); its disks are as before",
                    hint: "--shutdown=5m   or   --destroy")
            }
            await ports.time.sleep(until: min(end, ports.time.now + .milliseconds(200)))
        }
    }

    /// libvirt says off a moment before the process is gone.
    private func awaitEnd(_ plan: RevertPlan) async throws(Failure) {
        let images = plan.disks.flatMap { [$0.left.path, $0.next.path] }
        let end = ports.time.now + .seconds(10)
        while true {
            let power = try await ports.life.power()
            let inUse = try await ports.layers.open(among: images)
            if power == .shutOff, inUse.isEmpty { return try await demandLeft(plan) }
            guard ports.time.now < end else {
                throw Failure(
                    .busy,
                    inUse.first.map { "\($0) is still open in a QEMU process" }
                        ?? "\(guest.name) has been started again",
                    hint: inUse.first.map { "fuser -v \($0)" })
            }
            await ports.time.sleep(until: ports.time.now + .milliseconds(50))
        }
    }

    /// What is left behind is what the guest was on to the last: somebody may have taken a snapshot while it was waited for.
    private func demandLeft(_ plan: RevertPlan) async throws(Failure) {
        let now = try await ports.hypervisor.disks()
        for disk in plan.disks {
            let image = now.first { $0.target == disk.target }?.activeImage
            guard image?.path != disk.left.path else { continue }
            throw Failure(
                .refused,
                "\(disk.target) is on \(image?.path ?? "nothing") now, not on \(disk.left.path): somebody changed it meanwhile; its disks are as they were",
                hint: "stillpoint disks \(guest.name)")
        }
    }
}
