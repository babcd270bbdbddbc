// SPDX-License-Identifier: Apache-2.0

/// Which of the applications that were found take part in a run, and why the others do not.
struct ApplicationChoice {
    private(set) var taking: [MemberPlan.Application] = []
    private(set) var skipped: [MemberPlan.SkippedApplication] = []
    private(set) var findings: [Finding] = []
    /// Something is there that a hook knows and that counts, whether or not it can be prepared.
    private(set) var isAnythingFound = false

    private let guest: String
    private let filesystems: [Filesystem]
    private let otherMounts: [GuestSurvey.OtherMount]
    private let chosen: Set<DiskTarget>
    private let canExecute: Bool

    init(of facts: GuestFacts, for request: SnapshotRequest, chosen: Set<DiskTarget>) {
        guest = facts.guest.name
        self.chosen = chosen
        let report = facts.agent.report
        filesystems = report?.filesystems ?? []
        otherMounts = report?.survey?.otherMounts ?? []
        canExecute = report?.canExecute == true
        guard request.runsHooks, request.freezes, let report else { return }
        for application in report.applications { place(application) }
        if let required = request.required ?? request.configured, required == .application, !isAnythingFound {
            demandAnything(report, isRequired: request.required != nil)
        }
    }

    private mutating func demandAnything(_ report: AgentReport, isRequired: Bool) {
        let what =
            report.canExecute
            ? "\(guest) runs no application that a hook here knows"
            : "guest-exec is disabled in the guest agent, so no hook can prepare the applications of \(guest)"
        findings.append(
            Finding(
                isRequired ? .refuses(.refused) : .limits(.filesystem), "application.unavailable",
                "\(what): application consistency cannot be reached",
                fix: report.canExecute
                    ? ["stillpoint hooks list", "--require filesystem"]
                    : ["see   stillpoint doctor \(guest)", "--require filesystem"]))
    }

    private mutating func place(_ facts: ApplicationFacts) {
        switch facts.state {
        case .absent:
            guard facts.choice.policy == .fail else {
                return skip(facts, "not on this guest")
            }
            refuse(facts, "application.absent", "\(facts.label) is not on \(guest), and was asked for")
        case .stopped:
            guard facts.choice.policy == .fail else {
                return skip(facts, "not running: its files are at rest")
            }
            refuse(facts, "application.stopped", "\(facts.label) on \(guest) is not running, and was asked for")
        case .recovering:
            guard let ours = covers(facts), ours else { return }
            if facts.choice.policy != .ignore { isAnythingFound = true }
            cannotPrepare(facts, "is recovering")
        case .denied(let why), .unclear(let why):
            guard let ours = covers(facts), ours else { return }
            if facts.choice.policy != .ignore { isAnythingFound = true }
            cannotPrepare(facts, "cannot be prepared: \(why)")
        case .running:
            guard let ours = covers(facts), ours else { return }
            if facts.choice.policy != .ignore { isAnythingFound = true }
            taking.append(MemberPlan.Application(facts))
            let words = [facts.version, facts.role?.rawValue].compactMap { $0 }.joined(separator: ", ")
            findings.append(
                Finding(.fine, "application.found", "\(facts.label)\(words.isEmpty ? "" : " (\(words))") has its hook"))
        }
    }

    /// Whether all its files are on the chosen disks; nil where the run is refused because only some are.
    private mutating func covers(_ facts: ApplicationFacts) -> Bool? {
        var inside: Set<DiskTarget> = []
        var outside: Set<DiskTarget> = []
        var elsewhere: [String] = []
        for path in facts.paths {
            let filesystem = filesystem(of: path)
            if let other = otherMount(of: path, below: filesystem?.mountpoint) {
                elsewhere.append(other.description)
                continue
            }
            for part in filesystems where part == filesystem || Self.isPart(part.mountpoint, of: path) {
                inside.formUnion(part.targets.intersection(chosen))
                outside.formUnion(part.targets.subtracting(chosen))
            }
            for mount in otherMounts where Self.isPart(mount.mountpoint, of: path) {
                if !mount.isInMemory { elsewhere.append(mount.description) }
            }
        }
        if outside.isEmpty, elsewhere.isEmpty { return true }
        let missing = (outside.sorted().map(\.description) + Set(elsewhere).sorted()).joined(separator: " and ")
        if inside.isEmpty {
            let reason = "its files lie on \(missing), which is not part of the snapshot"
            if facts.choice.place != nil, facts.choice.policy == .fail {
                refuse(facts, "application.uncovered", "\(facts.label) was asked for, but \(reason)")
            } else {
                skip(facts, reason)
            }
            return false
        }
        let text = "the choice of disks splits \(facts.label): part of its files lie on \(missing)"
        if facts.choice.policy == .ignore {
            findings.append(Finding(.note, "application.split", text))
            return false
        }
        findings.append(
            Finding(
                .refuses(.refused), "application.split", "\(text), and a copy without them does not start",
                fix: [
                    elsewhere.isEmpty
                        ? "take \(missing) too, or go without hooks:   --no-hooks"
                        : "have all its files on disks of the guest's, or go without hooks:   --no-hooks"
                ]))
        return nil
    }

    /// Whether it is mounted inside the folder, as a log on a disk of its own is. A server whose folder is `/` owns not
    /// all that is mounted.
    private static func isPart(_ mountpoint: String, of path: String) -> Bool {
        path != "/" && mountpoint.hasPrefix(path + "/")
    }

    /// No disk that could be chosen carries it.
    private func otherMount(of path: String, below mountpoint: String?) -> GuestSurvey.OtherMount? {
        let found = otherMounts.filter { path == $0.mountpoint || path.hasPrefix($0.mountpoint + "/") }
            .max { $0.mountpoint.utf8.count < $1.mountpoint.utf8.count }
        guard let found, found.mountpoint.utf8.count >= mountpoint?.utf8.count ?? 0 else { return nil }
        return found
    }

    /// The filesystem whose mount point is the longest beginning of the path.
    private func filesystem(of path: String) -> Filesystem? {
        filesystems.filter { filesystem in
            let mountpoint = filesystem.mountpoint
            return mountpoint == "/" || path == mountpoint || path.hasPrefix(mountpoint + "/")
        }.max { $0.mountpoint.utf8.count < $1.mountpoint.utf8.count }
    }

    private mutating func skip(_ facts: ApplicationFacts, _ reason: String) {
        skipped.append(.init(facts: facts, reason: reason))
        findings.append(Finding(.note, "application.skipped", "\(facts.label) is left out: \(reason)"))
    }

    private mutating func refuse(_ facts: ApplicationFacts, _ code: String, _ text: String) {
        findings.append(
            Finding(
                .refuses(.refused), code, text,
                fix: [
                    "policy: ignore for \(facts.choice.hook.name) (\(facts.choice.place ?? "configuration")), or --no-hooks"
                ]))
    }

    private mutating func cannotPrepare(_ facts: ApplicationFacts, _ why: String) {
        let weight: Finding.Weight =
            switch facts.choice.policy {
            case .fail: .refuses(.refused)
            case .degrade: .limits(.filesystem)
            case .ignore: .note
            }
        skipped.append(.init(facts: facts, reason: why))
        findings.append(
            Finding(
                weight, "application.unprepared", "\(facts.label) \(why)",
                fix: canExecute
                    ? ["stillpoint hooks probe \(guest)"]
                    : [
                        "see   stillpoint doctor \(guest)",
                        "leave it to drop-ins in the guest, if it has them:   --no-hooks",
                    ]))
    }
}
