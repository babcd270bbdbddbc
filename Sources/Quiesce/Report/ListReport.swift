// SPDX-License-Identifier: Apache-2.0

/// The catalogue joined with what libvirt and the images say now.
public struct ListReport: Codable, Sendable {
    public enum Standing: String, Codable, Sendable {
        /// Its frozen images lie right below what the guest writes to.
        case current
        /// Newer layers are between them.
        case below
        /// Some of its disks are merged or abandoned, some are not.
        case partly
        /// A merge of it was begun and not ended: no snapshot any more, and `commit` or `delete` ends it.
        case merging
        /// On a branch that a revert left; `revert` leads to it, `prune` removes it.
        case abandoned
        /// Its overlays are in no chain any more: it was deleted behind our back.
        case gone
        /// Nobody could be asked.
        case unknown
    }

    public struct Row: Codable, Sendable {
        public var domain: String
        public var uuid: String
        public var name: String
        public var run: String?
        public var createdAt: Timestamp?
        public var consistency: Consistency?
        public var disks: Int
        /// What its overlays take on the host.
        public var growthBytes: Int64?
        /// Layers of its deepest frozen chain.
        public var depth: Int?
        /// The last verification.
        public var verified: VerificationRecord?
        public var standing: Standing
        /// The snapshot it stands on.
        public var parent: String?
        /// Made by us, or only known to libvirt.
        public var ours: Bool
        public var inLibvirt: Bool
        /// Who reads it, or is going to.
        public var uses: [String]
        /// Why only the catalogue tells of it: its manifest, or its guest, cannot be read.
        public var problem: Cause?

        /// One of ours; what the guest says of it is filled in later.
        public init(_ entry: CatalogueEntry, disks count: Int, unread: Failure? = nil) {
            problem = unread.map(Cause.init)
            (domain, uuid, name, run) = (entry.guest.name, entry.guest.uuid, entry.name, entry.run.description)
            (createdAt, consistency, disks) = (entry.createdAt, entry.consistency, count)
            (standing, ours, inLibvirt, uses) = (.unknown, true, false, [])
        }

        public init(
            _ snapshot: Lineage.Snapshot, in lineage: Lineage, allocated: [String: Int64], unread: Failure? = nil
        ) {
            problem = unread.map(Cause.init)
            (domain, uuid, name) = (lineage.guest.name, lineage.guest.uuid, snapshot.name)
            (run, consistency) = (snapshot.entry?.run.description, snapshot.entry?.consistency)
            let seconds = Timestamp(milliseconds: snapshot.createdAt.multipliedReportingOverflow(by: 1000).partialValue)
            createdAt = snapshot.entry?.createdAt ?? (snapshot.createdAt > 0 ? seconds : nil)
            (disks, ours, standing, uses) = (snapshot.overlays.count, snapshot.entry != nil, .unknown, [])
            // An internal one lies inside the images, where only libvirt sees it.
            if !snapshot.overlays.isEmpty { standing = Standing(lineage.standing(of: snapshot)) }
            if snapshot.loss != nil, standing != .gone { standing = .merging }
            parent = lineage.parent(of: snapshot)
            inLibvirt = snapshot.registered != nil
            depth = snapshot.overlays.keys.compactMap { lineage.frozen(snapshot, $0)?.count }.max()
            let sizes = snapshot.overlays.values.compactMap { allocated[$0] }
            growthBytes = sizes.isEmpty ? nil : sizes.reduce(0) { $0.addingClamped($1) }
        }
    }

    /// Where a guest writes, or wrote until a revert.
    public struct Tip: Codable, Sendable {
        public var domain: String
        public var uuid: String
        /// The snapshot it stands on.
        public var parent: String?
        public var images: [String]
        public var growthBytes: Int64?
        /// The revert that left it; nil for where the guest writes now.
        public var run: String?
        public var leftAt: Timestamp?
        public var revertedTo: String?
    }

    public var schema = "stillpoint.list/v1"
    public var snapshots: [Row]
    /// What reverts left behind, oldest first; `revert --undo` takes up the last one.
    public var abandoned: [Tip]
    /// Where each guest writes now.
    public var tips: [Tip]

    public init(snapshots: [Row], abandoned: [Tip] = [], tips: [Tip] = []) {
        self.snapshots = snapshots
        self.abandoned = abandoned
        self.tips = tips
    }

    /// What could not be read, each once.
    public var problems: [Cause] {
        snapshots.compactMap(\.problem).reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }

    public func text(_ ink: Ink = .plain) -> String {
        guard !snapshots.isEmpty || !abandoned.isEmpty else { return "no snapshots\n" }
        var table = Table(rightAligned: [4])
        table.add(["DOMAIN", "NAME", "CUT AT", "CONSISTENCY", "GROWTH", "VERIFIED", "STANDING", ""])
        for row in snapshots {
            table.add([
                row.domain, row.name, row.createdAt?.local ?? "?", row.consistency?.rawValue ?? "unknown",
                row.growthBytes.map { "\(ByteCount($0))" } ?? "?",
                row.verified.map { "\($0.level.rawValue) \($0.result.rawValue)" } ?? "-", row.standing.rawValue,
                ([row.problem == nil ? "" : "unreadable"]
                    + [row.ours ? (row.inLibvirt || row.standing == .abandoned ? "" : "not in virsh") : "made by virsh"]
                    + row.uses).filter { !$0.isEmpty }.joined(separator: ", "),
            ])
        }
        for tip in abandoned {
            table.add([
                tip.domain, "(before the revert to \(tip.revertedTo ?? "?"))", tip.leftAt?.local ?? "?", "",
                tip.growthBytes.map { "\(ByteCount($0))" } ?? "?", "-", "abandoned",
                tip.run == abandoned.last { $0.uuid == tip.uuid }?.run ? "revert --undo" : "",
            ])
        }
        return table.rows.map { $0 + "\n" }.joined()
    }

    /// As a tree: what stands on what, and where each guest writes.
    public func tree(_ ink: Ink = .plain) -> String {
        var lines: [String] = []
        for uuid in Set(snapshots.map(\.uuid) + tips.map(\.uuid)).sorted() {
            let rows = snapshots.filter { $0.uuid == uuid }
            let ends = tips.filter { $0.uuid == uuid } + abandoned.filter { $0.uuid == uuid }
            lines.append(ink.bold(rows.first?.domain ?? ends.first?.domain ?? uuid))
            let names = Set(rows.map(\.name))
            func branch(_ parent: String?, _ indent: String, _ depth: Int) {
                func isHere(_ name: String?) -> Bool {
                    parent == nil ? name.map { !names.contains($0) } ?? true : name == parent
                }
                let children = rows.filter { isHere($0.parent) && $0.name != parent }
                let here = ends.filter { isHere($0.parent) }
                let count = children.count + here.count
                for (index, row) in children.enumerated() {
                    lines.append(indent + (index + 1 == count ? "└─ " : "├─ ") + row.words)
                    // A circle is nothing libvirt would make, and nothing to be caught in.
                    if depth < 256 { branch(row.name, indent + (index + 1 == count ? "   " : "│  "), depth + 1) }
                }
                for (index, tip) in here.enumerated() {
                    lines.append(indent + (children.count + index + 1 == count ? "└─ " : "├─ ") + tip.words)
                }
            }
            branch(nil, "", 0)
        }
        return lines.isEmpty ? "no snapshots\n" : lines.map { $0.withoutTrailingBlanks + "\n" }.joined()
    }
}

extension ListReport.Row {
    fileprivate var words: String {
        let level = consistency.map { "\($0.rawValue)" } ?? "made by virsh"
        let growth = growthBytes.map { "\(ByteCount($0))" }
        let state = [.abandoned, .gone, .partly, .merging].contains(standing) ? standing.rawValue : nil
        return "\(name)   " + [createdAt?.local, level, growth, state].compactMap { $0 }.joined(separator: "   ")
    }
}

extension ListReport.Tip {
    fileprivate var words: String {
        let growth = growthBytes.map { "   \(ByteCount($0))" } ?? ""
        guard let revertedTo else { return "* now\(growth)" }
        return "(left by the revert to \(revertedTo))   \(leftAt?.local ?? "")\(growth)"
    }
}

extension ListReport.Standing {
    init(_ standing: Lineage.Standing) {
        self =
            switch standing {
            case .current: .current
            case .below: .below
            case .partly: .partly
            case .abandoned: .abandoned
            case .gone: .gone
            }
    }
}

extension ListReport {
    /// One guest's, as its images stand.
    ///
    /// - Parameters:
    ///   - allocated: what images take on the host.
    ///   - unread: why manifests cannot be read.
    public init(_ lineage: Lineage, allocated: [String: Int64], unread: [RunID: Failure] = [:]) {
        func tip(_ chains: [DiskTarget: [ImageLayer]]) -> Tip {
            let images = chains.sorted { $0.key < $1.key }.compactMap { $0.value.first?.path }
            let sizes = images.compactMap { allocated[$0] }
            return Tip(
                domain: lineage.guest.name, uuid: lineage.guest.uuid, parent: lineage.parent(of: chains),
                images: images, growthBytes: sizes.isEmpty ? nil : sizes.reduce(0) { $0.addingClamped($1) })
        }
        self.init(
            snapshots: lineage.snapshots.map { snapshot in
                let problem = (snapshot.entry?.run).flatMap { unread[$0] }
                return Row(snapshot, in: lineage, allocated: allocated, unread: problem)
            },
            abandoned: lineage.abandoned.map { branch in
                var left = tip(branch.chains)
                left.run = branch.branch.run.description
                left.leftAt = branch.branch.leftAt
                left.revertedTo = branch.branch.revertedTo
                return left
            }, tips: [tip(lineage.active)])
    }
}
