// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Libvirt
import Quiesce

/// A clone that runs under libvirt.
struct LibvirtClone: Clone {
    private let plan: ClonePlan
    private let domain: LibvirtGuest
    private let folder: CloneFolder
    private let ledger: Ledger
    private let agent: GuestAgent
    private let control: AgentGuestControl

    init(_ plan: ClonePlan, _ domain: LibvirtGuest, in folder: CloneFolder, ledger: Ledger, time: any Time) {
        self.plan = plan
        self.domain = domain
        self.folder = folder
        self.ledger = ledger
        agent = GuestAgent(channel: LibvirtAgentChannel(guest: domain))
        control = AgentGuestControl(domain, run: plan.id, time: time)
    }

    func state() async -> CloneState {
        let (state, reason): (Domain.State, Int)
        do throws(LibvirtError) {
            (state, reason) = try await domain.call { domain throws(LibvirtError) in try domain.state() }
        } catch {
            // A transient domain is forgotten when it ends.
            guard error.code == .noDomain else { return .stuck(error.description) }
            return .ended("it powered itself off, or crashed")
        }
        if let free = try? QemuImages.freeBytes(in: folder.path), free < LibvirtCloneHost.leastSpace {
            return .stuck("only \(ByteCount(free)) are left in \(folder.path)")
        }
        switch state {
        // 5 is VIR_DOMAIN_PAUSED_IOERROR.
        case .paused: return .stuck(reason == 5 ? "it was paused by an I/O error" : "it was paused")
        case .shutoff, .crashed: return .ended("it powered itself off, or crashed")
        default: return .running
        }
    }

    func answers() async -> Bool { (try? await agent.ping()) != nil }

    func start() async -> CloneStart {
        let script = GuestScript(
            text: "systemctl is-system-running 2>/dev/null; systemctl list-jobs --no-legend 2>/dev/null | head -n 50")
        guard let answer = try? await script.run(on: agent, within: .seconds(20)) else { return .unknown }
        let lines = answer.split(separator: "\n")
        switch lines.first {
        // `degraded` is settled too: some unit failed, as one does whose disk is not here.
        case "running", "degraded", "maintenance", "stopping": return .settled
        case "initializing", "starting": break
        default: return .unknown
        }
        // JOB UNIT TYPE STATE; those that wait do so for one that runs.
        let jobs = lines.dropFirst().map { $0.split(separator: " ") }.filter { $0.count == 4 && $0[3] == "running" }
        return .underWay(jobs.prefix(3).map { $0[1].printable(limit: 64) })
    }

    func applications(_ choices: [HookChoice]) async -> [ApplicationFacts] {
        let probe = HookProbe(agent: agent, domain: domain.domain.name)
        return await probe.applications(choices, present: Set(choices.flatMap(\.hook.looksFor)))
    }

    func run(_ call: HookCall, within limit: Duration) async -> HookResult { await control.run(call, within: limit) }

    func console() async -> [String] { folder.console(lines: 20) }

    func remove() async throws(Failure) {
        try await LibvirtCloneHost.destroy(domain.domain, through: domain)
        await folder.remove()
        try await ledger.end(clone: plan.id)
    }

    func keep() async throws(Failure) { try await ledger.keep(clone: plan.id) }
}
