// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Quiesce

/// Asks the agent all that a plan needs to know.
struct AgentObserver: Sendable {
    let agent: GuestAgent
    /// The domain's name, which the hooks are told.
    let domain: String

    /// Everything a run may send. What of it is not enabled is named in the findings.
    private static let wanted: Set = [
        "guest-fsfreeze-freeze-list", "guest-fsfreeze-thaw", "guest-fsfreeze-status", "guest-get-fsinfo", "guest-exec",
        "guest-exec-status", "guest-get-time", "guest-get-osinfo",
    ]

    func observe(
        _ channel: DomainDefinition.AgentChannel, _ disks: [DiskFacts], probing hooks: [HookChoice]
    ) async -> AgentFacts {
        switch channel {
        case .absent: return .noChannel
        case .disconnected: return .notConnected
        case .connected: break
        }
        do throws(AgentError) {
            return .answers(try await report(DiskMap(disks), hooks))
        } catch {
            if case .notConnected = error.kind { return .notConnected }
            return .silent(error.description)
        }
    }

    private func report(_ disks: DiskMap, _ hooks: [HookChoice]) async throws(AgentError) -> AgentReport {
        let info = try await agent.info()
        let status: AgentReport.FreezeState =
            switch try await agent.freezeStatus() {
            case .frozen: .frozen
            case .thawed: .thawed
            }
        let version = info.version.printable(limit: 64)
        // Frozen, it answers nothing else, and says of everything else that it is disabled.
        guard status == .thawed else {
            return AgentReport(
                version: version, system: GuestSystem(id: "", prettyName: "unknown"), filesystems: [],
                freezeState: status)
        }
        let missing = Self.wanted.filter { !info.allows($0) }
        var system = GuestSystem(id: "", prettyName: "unknown system")
        if info.allows("guest-get-osinfo") {
            let os = try await agent.osInfo()
            system = GuestSystem(
                id: (os.id ?? "").printable(limit: 64),
                prettyName: (os.prettyName ?? os.name ?? "unknown system").printable(limit: 128))
        }
        var report = AgentReport(
            version: version, missingCommands: missing, system: system, filesystems: [], freezeState: status)
        var readOnly: Set<String> = []
        if report.canExecute, !system.isWindows {
            let words = Set(hooks.flatMap(\.hook.looksFor)).sorted()
            let text = try? await GuestScript.survey.run(words, on: agent, within: .seconds(20))
            let reply = text.flatMap { SurveyReply($0, disks) }
            report.survey = reply?.survey
            readOnly = reply?.readOnlyMounts ?? []
            report.applications = await HookProbe(agent: agent, domain: domain)
                .applications(hooks, present: reply?.present)
        } else {
            report.applications = hooks.filter { $0.place != nil }.map {
                ApplicationFacts($0, state: .unclear("nothing can be run in the guest"))
            }
        }
        if info.allows("guest-get-fsinfo") {
            for told in try await agent.filesystems() {
                report.filesystems.append(try Self.filesystem(told, disks, readOnly))
            }
        }
        return report
    }

    private static func filesystem(
        _ told: GuestFilesystem, _ disks: DiskMap, _ readOnly: Set<String>
    ) throws(AgentError) -> Filesystem {
        // Mount points are printed and sent back for the freeze: one that hides something is not to be had.
        for text in [told.name, told.mountpoint, told.type] where text != text.printable() {
            throw AgentError(
                .malformedReply("a filesystem's name holds control characters"), command: "guest-get-fsinfo")
        }
        let targets = told.disks.map { disks.target(of: $0) }
        return Filesystem(
            device: told.name, mountpoint: told.mountpoint, type: told.type, targets: Set(targets.compactMap { $0 }),
            isFullyMapped: !targets.isEmpty && !targets.contains(nil), isReadOnly: readOnly.contains(told.mountpoint),
            usedBytes: told.usedBytes.map(Int64.init), totalBytes: told.totalBytes.map(Int64.init))
    }
}
