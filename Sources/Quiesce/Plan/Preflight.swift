// SPDX-License-Identifier: Apache-2.0

/// The checks, one a concern. Each looks at the facts alone, so that all findings come at once.
extension GuestFacts {
    private var name: String { guest.name }

    var stateFindings: [Finding] {
        var findings: [Finding] = []
        if let activeJob {
            findings.append(
                Finding(
                    .refuses(.busy), "guest.job", "\(name) is busy with \(activeJob)",
                    fix: ["wait for it, or   virsh domjobinfo \(name)"]))
        }
        for disk in disks {
            guard let job = disk.blockJob else { continue }
            findings.append(
                Finding(
                    .refuses(.busy), "disk.blockJob", "a block job (\(job)) runs on \(disk.target)",
                    fix: ["stillpoint jobs \(name)", "virsh blockjob \(name) \(disk.target) --info"]))
        }
        if checkpoints > 0 {
            findings.append(
                Finding(
                    .refuses(.refused), "guest.checkpoints",
                    "\(name) has \(checkpoints) checkpoint(s), and libvirt takes no snapshot beside them",
                    fix: ["virsh checkpoint-list \(name)", "virsh checkpoint-delete \(name) NAME"]))
        }
        return findings.isEmpty
            ? [Finding(.fine, "guest.idle", "\(power.word), no block job, checkpoint or other job")] : findings
    }

    func agentFindings(_ request: SnapshotRequest) -> [Finding] {
        let withoutFreeze = "or take a crash-consistent one:   stillpoint snapshot \(name) --no-freeze"
        // Without a freeze no agent is needed; what it could have told is still worth a note.
        func weigh(_ finding: Finding) -> [Finding] {
            var finding = finding
            guard !request.freezes, case .refuses = finding.weight else { return [finding] }
            finding.weight = .note
            finding.fix.removeAll { $0 == withoutFreeze }
            return [finding]
        }
        switch agent {
        case .unasked: return []
        case .noChannel:
            return weigh(
                Finding(
                    .refuses(.refused), "agent.noChannel", "\(name) has no guest agent channel: nothing can be frozen",
                    fix: [
                        "channel.xml:   <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>",
                        "virsh attach-device \(name) channel.xml --live --config", withoutFreeze,
                    ]))
        case .notConnected:
            return weigh(
                Finding(
                    .refuses(.refused), "agent.notConnected",
                    "the guest agent of \(name) is not running: nothing can be frozen",
                    fix: [
                        "in the guest:   apt install qemu-guest-agent   or   dnf install qemu-guest-agent",
                        "systemctl start qemu-guest-agent", withoutFreeze,
                    ]))
        case .silent(let why):
            return weigh(
                Finding(
                    .refuses(.refused), "agent.silent", "the guest agent of \(name) does not answer: \(why)",
                    fix: ["in the guest:   systemctl restart qemu-guest-agent", withoutFreeze]))
        case .answers(let report):
            return reportFindings(report).flatMap(weigh)
        }
    }

    private func reportFindings(_ report: AgentReport) -> [Finding] {
        var findings: [Finding] = []
        if report.freezeState == .frozen {
            findings.append(
                Finding(
                    .refuses(.refused), "freeze.foreign", "\(name) is frozen already, and not by this run",
                    fix: ["if nobody needs that freeze any more:   stillpoint thaw \(name) --foreign"]))
        }
        if !report.canFreeze {
            let missing = report.missingCommands.filter { $0.contains("fs") }.sorted().joined(separator: " ")
            findings.append(
                Finding(
                    .refuses(.refused), "agent.cannotFreeze", "the guest agent refuses \(missing)",
                    fix: [
                        "in the guest, /etc/qemu/qemu-ga.conf: drop them from block-rpcs",
                        "systemctl restart qemu-guest-agent",
                    ]))
        }
        if !report.canExecute {
            findings.append(
                Finding(
                    .note, "agent.cannotExecute",
                    "guest-exec is disabled in the guest agent: no hook can run, so filesystem consistency at most; no dead-man, no sync before the freeze, no expedited RCU, no look at volume groups",
                    fix: [
                        "in the guest, /etc/qemu/qemu-ga.conf:   drop guest-exec and guest-exec-status from block-rpcs",
                        "(RHEL, /etc/sysconfig/qemu-ga: add them to the allowed list)",
                        "systemctl restart qemu-guest-agent",
                        "or keep it off:   stillpoint hooks install \(name)   (run by the agent at each freeze; their proof stays in the guest)",
                    ]))
        } else if report.survey == nil {
            findings.append(
                Finding(.note, "agent.noSurvey", "the look inside the guest failed: its volume groups are not known"))
        }
        if let obstacle = report.survey?.expediteObstacle {
            findings.append(Finding(.note, "freeze.notExpedited", "expedited RCU stays off: \(obstacle)"))
        }
        if findings.isEmpty {
            findings.append(
                Finding(
                    .fine, "agent.ready",
                    "agent \(report.version) connected, freeze and thaw allowed, nothing frozen now"))
        }
        return findings
    }

    var graphFindings: [Finding] {
        disks.compactMap { disk in disk.disagreement.map { (disk, $0) } }.map { disk, quarrel in
            if disk.qemuChain == nil {
                return Finding(
                    .refuses(.quarantined), "graph.disagrees", quarrel,
                    fix: [
                        "do not start the guest: libvirt believes the definition, and QEMU would write to the wrong image",
                        "virsh edit \(name):   take <backingStore> out of \(disk.target)",
                    ])
            }
            return Finding(
                .refuses(.quarantined), "graph.disagrees", quarrel,
                fix: [
                    "leave the guest running: powered off now it would start from the wrong image",
                    "stillpoint recover \(name) --repair   makes its saved definition name what QEMU writes to",
                ])
        }
    }

    func chainFindings(_ chosen: [DiskFacts], _ limits: ChainLimits) -> [Finding] {
        chosen.compactMap { disk in
            let depth = disk.liveChain.count
            let fix = ["stillpoint commit \(name) --disk \(disk.target) --all"]
            if depth >= limits.refuse {
                return Finding(
                    .refuses(.refused), "chain.tooDeep",
                    "\(disk.target)'s chain is \(depth) deep, and \(limits.refuse) is the limit", fix: fix)
            }
            guard depth >= limits.warn else { return nil }
            return Finding(
                .note, "chain.deep",
                "\(disk.target)'s chain is \(depth) deep (warned from \(limits.warn), refused at \(limits.refuse))",
                fix: fix)
        }
    }

    func spaceFindings(_ chosen: [DiskFacts], _ overlays: OverlayNames) -> [Finding] {
        var findings: [Finding] = []
        if guest.isRemote {
            return [Finding(.note, "space.remote", "free space is on another host and was not looked at")]
        }
        for folder in overlays.folders.sorted() {
            let here = chosen.filter { overlays.path(for: $0.target).map(OverlayNames.folder) == folder }
            let wanted = here.reduce(into: Int64(0)) { $0 = $0.addingClamped(Self.overlayReserve($1)) }
            guard let free = freeBytes[folder] else {
                findings.append(
                    Finding(
                        .refuses(.refused), "space.unknown",
                        "\(folder) cannot be looked at: is it a folder on this host?"))
                continue
            }
            let text = "\(ByteCount(wanted)) wanted, \(ByteCount(free)) free in \(folder)"
            findings.append(
                free < wanted
                    ? Finding(
                        .refuses(.refused), "space.short", "too little space for the overlays: \(text)",
                        fix: ["free some, or commit older snapshots:   stillpoint commit \(name) --all"])
                    : Finding(.fine, "space.enough", "space: \(text)"))
        }
        return findings
    }

    /// What an overlay should find free: a twentieth of its disk, at least 256 MiB.
    private static func overlayReserve(_ disk: DiskFacts) -> Int64 {
        max((disk.virtualSizeBytes ?? 0) / 20, 256 << 20)
    }

    func surroundings(_ chosen: [DiskFacts], _ request: SnapshotRequest) -> [Finding] {
        var findings: [Finding] = []
        for disk in chosen {
            if disk.cache == "unsafe" {
                findings.append(
                    Finding(
                        .limits(.crash), "disk.cacheUnsafe",
                        "\(disk.target) has cache='unsafe': flushes are dropped, so nothing on it is certain",
                        fix: ["virsh edit \(name):   cache='none' or 'writeback' for \(disk.target)"]))
            }
            if !["qcow2", "raw"].contains(disk.format) {
                findings.append(
                    Finding(.note, "disk.format", "\(disk.target) is \(disk.format); only qcow2 and raw are tested"))
            }
            if disk.virtualSizeBytes == nil || disk.activeImage == nil {
                findings.append(
                    Finding(.refuses(.refused), "disk.unseen", "QEMU does not say what lies under \(disk.target)"))
            }
            if let path = disk.activeImage?.path, let others = sharedImages[path] {
                findings.append(
                    Finding(
                        .refuses(.refused), "image.shared",
                        "\(path) of \(disk.target) is also used by \(others.sorted().joined(separator: " "))",
                        fix: ["give each guest an image of its own"]))
            }
            for layer in disk.liveChain.dropFirst() {
                guard let others = sharedImages[layer.path] else { continue }
                findings.append(
                    Finding(
                        .note, "image.template",
                        "\(disk.target) stands on \(layer.path), also used by \(others.sorted().joined(separator: " ")): nothing is ever merged into it"
                    ))
            }
        }
        if relabelsWithAppArmor {
            let cost = Duration.milliseconds(100 * chosen.count)
            findings.append(
                Finding(
                    .note, "host.appArmor",
                    "AppArmor relabels each overlay inside the window: about \(cost.inMilliseconds) ms of freeze for these disks",
                    fix: ["a static profile (<seclabel relabel='no'>) takes it away"]))
        }
        if !isPersistent {
            findings.append(
                Finding(
                    .note, "guest.transient",
                    "\(name) is transient: its definition, and with it the chain, ends at power-off"))
        }
        if request.registers, snapshots.contains(request.name.description) {
            findings.append(
                Finding(
                    .refuses(.refused), "snapshot.taken", "\(name) has a snapshot named \(request.name) already",
                    fix: ["choose another with --name"]))
        }
        return findings
    }
}
