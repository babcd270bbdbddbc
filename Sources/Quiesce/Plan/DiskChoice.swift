// SPDX-License-Identifier: Apache-2.0

/// The disks a selection stands for, each disk left out with its reason.
struct DiskChoice {
    var chosen: [DiskFacts] = []
    var leftOut: [MemberPlan.LeftOut] = []
    var findings: [Finding] = []

    init(of facts: GuestFacts, for request: SnapshotRequest) {
        checkNames(request, facts)
        for disk in facts.disks {
            let wish = Self.wish(for: disk.target, request)
            if let reason = wish.excludedBecause {
                leaveOut(disk, reason)
            } else if let obstacle = Self.obstacle(disk) {
                leaveOut(disk, obstacle)
                if wish.isExplicit {
                    findings.append(
                        Finding(
                            .refuses(.refused), "disk.impossible",
                            "\(disk.target) cannot be part of a snapshot: \(obstacle)",
                            fix: ["leave it out:   --exclude \(disk.target)"]))
                }
            } else if case .block(let path) = disk.source, wish.file == nil, !request.isInternal {
                findings.append(
                    Finding(
                        .refuses(.refused), "disk.block",
                        "\(disk.target) is the block device \(path): nothing says where its overlay is to lie",
                        fix: ["--diskspec \(disk.target),file=/path/to/overlay.qcow2"]))
            } else {
                chosen.append(disk)
            }
        }
        if chosen.isEmpty, findings.isEmpty {
            findings.append(
                Finding(
                    .refuses(.refused), "disk.none",
                    "\(facts.guest.name) has no disk left to cut: every one is left out"))
        }
    }

    private mutating func leaveOut(_ disk: DiskFacts, _ reason: String) {
        leftOut.append(.init(target: disk.target, reason: reason, virtualSizeBytes: disk.virtualSizeBytes))
    }

    private mutating func checkNames(_ request: SnapshotRequest, _ facts: GuestFacts) {
        let named: [DiskTarget] =
            switch request.selection {
            case .all: []
            case .only(let targets), .excluding(let targets): targets
            case .specs(let specs): specs.map(\.target)
            }
        let known = Set(facts.disks.map(\.target))
        var seen: Set<DiskTarget> = []
        for target in named where !seen.insert(target).inserted {
            findings.append(Finding(.refuses(.usage), "disk.twice", "\(target) is named twice"))
        }
        for target in named where !known.contains(target) {
            let list = facts.disks.map(\.target.description).joined(separator: " ")
            findings.append(
                Finding(
                    .refuses(.usage), "disk.unknown", "\(facts.guest.name) has no disk \(target)",
                    fix: ["it has: \(list)"]))
        }
        if case .specs(let specs) = request.selection {
            for spec in specs where spec.mode == .internal && !request.isInternal {
                findings.append(
                    Finding(
                        .refuses(.usage), "disk.internal",
                        "\(spec.target): internal and external do not mix in one snapshot",
                        fix: ["--diskspec \(spec.target),snapshot=external", "or all of them, guest off:   --internal"])
                )
            }
        }
    }

    private struct Wish {
        var excludedBecause: String?
        var isExplicit = false
        var file: String?
    }

    private static func wish(for target: DiskTarget, _ request: SnapshotRequest) -> Wish {
        switch request.selection {
        case .only(let targets):
            return targets.contains(target) ? Wish(isExplicit: true) : Wish(excludedBecause: "not among --disk")
        case .excluding(let targets) where targets.contains(target):
            return Wish(excludedBecause: "--exclude")
        case .specs(let specs):
            if let spec = specs.first(where: { $0.target == target }) {
                return spec.mode == .no
                    ? Wish(excludedBecause: "--diskspec snapshot=no") : Wish(isExplicit: true, file: spec.file)
            }
            return Wish(excludedBecause: request.exclusions[target])
        case .all, .excluding:
            return Wish(excludedBecause: request.exclusions[target])
        }
    }

    /// Why libvirt cannot put an external overlay on this disk, or why it makes no sense.
    private static func obstacle(_ disk: DiskFacts) -> String? {
        switch disk.device {
        case .cdrom: return "cdrom"
        case .floppy: return "floppy"
        case .lun: return "raw LUN passed through: libvirt has no snapshot for it"
        case .disk: break
        }
        if disk.isReadOnly { return "read-only" }
        if disk.isTransient { return "transient: libvirt drops its changes at power-off" }
        if disk.isShareable { return "shareable: an overlay would hide it from the other guests" }
        switch disk.source {
        case .none: return "no medium"
        case .network(let kind): return "network disk (\(kind)): its overlay would be a local file"
        case .volume(let pool, let name):
            return disk.liveChain.isEmpty
                ? "volume \(name) of pool \(pool), which is not there, not active or on the network" : nil
        case .other(let kind): return "source of type \(kind)"
        case .file, .block: return nil
        }
    }
}

extension DiskChoice {
    /// What keeps the guest's disks from holding a snapshot inside themselves. libvirt takes all that can be written to, or
    /// refuses (measured on 9.0).
    func insideFindings(_ facts: GuestFacts) -> [Finding] {
        let taken = Set(chosen.map(\.target))
        return facts.disks.compactMap { disk in
            guard disk.device == .disk, !disk.isReadOnly, disk.source != .none else { return nil }
            guard let obstacle = Self.insideObstacle(disk, isTaken: taken.contains(disk.target)) else { return nil }
            return Finding(
                .refuses(.refused), "disk.notInside",
                "an internal snapshot takes every disk, and \(disk.target) \(obstacle)",
                fix: ["leave --internal out: the disks get overlays"])
        }
    }

    private static func insideObstacle(_ disk: DiskFacts, isTaken: Bool) -> String? {
        switch disk.source {
        case .network(let kind): return "is a network disk (\(kind))"
        case .block(let path): return "is the block device \(path)"
        case .file, .volume: break
        case .none, .other: return "is none that can hold one"
        }
        if disk.format != "qcow2" { return "is \(disk.format), which has no room for one" }
        return isTaken ? nil : "was to be left out"
    }
}
