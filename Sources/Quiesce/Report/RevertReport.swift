// SPDX-License-Identifier: Apache-2.0

/// `revert`'s result.
public struct RevertReport: Codable, Sendable {
    public struct Disk: Codable, Sendable {
        public var target: DiskTarget
        /// What the guest used until then.
        public var left: String
        /// What it uses now.
        public var image: String
        /// The frozen image it stands on.
        public var frozenImage: String?
    }

    public var schema = "stillpoint.revert/v1"
    public var domain: GuestIdentity
    public var snapshot: String
    public var undo: Bool
    public var disks: [Disk]
    public var untouched: [DiskTarget]
    /// Snapshots that are on the branch left behind.
    public var abandoned: [String]
    /// Snapshots that are the guest's again.
    public var resumed: [String]
    public var state: Ending
    /// The memory in which it goes on.
    public var memory: String?
    /// The file into which the UEFI variables of that moment went.
    public var nvram: String?
    public var tookMs: Int64
    public var isDryRun: Bool
    /// What could not be put in order afterwards; the guest is where it should be all the same.
    public var notes: [String]

    public func text(_ ink: Ink = .plain) -> String {
        var page = Page(label: 12)
        let what = undo ? "back from \(snapshot)" : "back to \(snapshot)"
        let time = Duration.milliseconds(tookMs).forPeople
        let how = isDryRun ? "would go \(what)" : "\(what) in \(time)"
        page.line(ink.bold("\(domain.name)   \(how), \(state.words)"))
        page.gap()
        page.rows("disks", disks.map { "\($0.target.description.padded(to: 6)) \($0.image)" })
        page.rows("kept", disks.map { "\($0.target.description.padded(to: 6)) \($0.left)" })
        page.rows("untouched", untouched.isEmpty ? [] : [untouched.map(\.description).joined(separator: " ")])
        page.rows("memory", memory.map { [$0] } ?? [])
        page.rows("UEFI", nvram.map { ["variables in \($0)"] } ?? [])
        page.rows("abandoned", abandoned.isEmpty ? [] : [abandoned.joined(separator: " ")])
        page.rows("again", resumed.isEmpty ? [] : [resumed.joined(separator: " ")])
        page.rows("note", notes)
        if !isDryRun {
            page.gap()
            page.rows("go back", ["stillpoint revert \(domain.name) --undo"])
        }
        return page.text
    }
}

extension Ending {
    fileprivate var words: String {
        switch self {
        case .running: "running"
        case .paused: "paused"
        case .shutOff: "shut off"
        }
    }
}

extension RevertPlan {
    /// - Parameter time: nil for `--dry-run`.
    public func report(took time: Duration? = nil, notes: [String] = []) -> RevertReport {
        func names(_ fate: CatalogueEntry.Fate, _ registered: [RegisteredSnapshot]) -> [String] {
            Set(fates.filter { $0.fate == fate }.map(\.entry.name) + registered.map(\.name)).sorted()
        }
        return RevertReport(
            domain: lineage.guest, snapshot: name, undo: isUndo,
            disks: disks.map {
                .init(
                    target: $0.target, left: $0.left.path, image: $0.next.path,
                    frozenImage: isUndo ? nil : $0.below.first?.path)
            }, untouched: untouched, abandoned: names(.abandoned, forgotten), resumed: names(.kept, restored),
            state: ending, memory: memory, nvram: variables?.file, tookMs: time?.inMilliseconds ?? 0,
            isDryRun: time == nil, notes: notes)
    }
}
