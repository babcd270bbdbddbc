// SPDX-License-Identifier: Apache-2.0

extension RunReport {
    /// What a person sees of a run.
    public func text(_ ink: Ink = .plain) -> String {
        var page = Page(label: 12)
        for member in members { write(member, on: &page, ink) }
        return page.text
    }

    private func write(_ member: MemberReport, on page: inout Page, _ ink: Ink) {
        let window = member.freeze.map {
            "frozen \(ink.bold("\($0.windowMs) ms")) of \(Duration.milliseconds($0.maxFreezeMs).forPeople) allowed"
        }
        let head = "\(member.domain.name)   \(title)"
        page.line(ink.bold(head.padded(to: 48)) + (window.map { " " + $0 } ?? ""))
        page.gap()
        if let snapshot = member.snapshot {
            let time = cut.map { "cut at \($0.at.local)" } ?? ""
            page.rows("snapshot", ["\(snapshot.name.padded(to: 25)) \(time)"])
            if let note = snapshot.description { page.rows("", [note]) }
            page.rows("disks", Self.disks(snapshot))
            page.rows("left out", snapshot.excluded.map { "\($0.target.description.padded(to: 6)) \($0.reason)" })
        }
        if let freeze = member.freeze { page.rows("frozen", [Self.frozen(freeze)]) }
        page.gap()
        for row in Timeline(member, ink).rows { page.line(row) }
        page.gap()
        page.rows("because", verdict.reasons)
        for check in [member.verification.chain, member.verification.filesystem] where check.result == .failed {
            page.rows("failed", [check.detail])
        }
        page.gap()
        if let snapshot = member.snapshot {
            page.rows("look", ["stillpoint verify \(member.domain.name) \(snapshot.name)"])
            page.rows("carry on", ["stillpoint commit \(member.domain.name) \(snapshot.name)"])
        }
        if member.freeze != nil { page.line("  * as reported by the guest") }
    }

    private var title: String {
        switch verdict.consistency {
        case .none: "no snapshot"
        case .crash: "crash-consistent"
        case .filesystem: "filesystem-consistent"
        case .application: "application-consistent"
        }
    }

    private static func disks(_ snapshot: MemberReport.Snapshot) -> [String] {
        var table = Table(rightAligned: [1])
        for disk in snapshot.disks {
            table.add([disk.target.description, "\(ByteCount(disk.virtualSizeBytes))", disk.overlay])
        }
        return table.rows
    }

    private static func frozen(_ freeze: MemberReport.Freeze) -> String {
        let counts = freeze.guestReported
        let told = "\(counts.frozen.map(String.init) ?? "?") frozen, \(counts.thawed.map(String.init) ?? "?") thawed*"
        let synced =
            freeze.notFreezable.isEmpty ? "" : "   synced only: " + freeze.notFreezable.joined(separator: "   ")
        return freeze.mountpoints.joined(separator: "   ") + synced + "     " + told
    }
}

/// Where the time of a run went, one bar a phase, on one scale.
private struct Timeline {
    private static let width: Int64 = 36
    private var bars: [(name: String, start: Int64, took: Int64, detail: String, isBold: Bool)] = []
    private let ink: Ink

    init(_ member: MemberReport, _ ink: Ink) {
        self.ink = ink
        let window: Set<Phase> = [.freeze, .cut, .thaw]
        for phase in member.phases where !window.contains(phase.name) {
            let detail = phase.name == .verify ? Self.verdict(member.verification) : phase.detail ?? ""
            bars.append((phase.name.rawValue, phase.startMs, phase.tookMs, Self.failed(phase) + detail, false))
        }
        let parts = member.phases.filter { window.contains($0.name) && $0.status != .skipped }
        if let start = parts.map(\.startMs).min(), let freeze = member.freeze {
            let detail =
                parts.map { "\(Self.failed($0))\($0.name.rawValue) \($0.tookMs)" }.joined(separator: " + ") + " ms"
            bars.append(("window", start, freeze.windowMs, detail, true))
        } else if let cut = parts.first {
            bars.append(("cut", cut.startMs, cut.tookMs, Self.failed(cut) + (cut.detail ?? ""), true))
        }
        bars.sort { $0.start < $1.start }
    }

    var rows: [String] {
        guard let begin = bars.map(\.start).min(), let end = bars.map({ $0.start + $0.took }).max() else { return [] }
        let span = max(1, end - begin)
        return bars.map { bar in
            let from = (bar.start - begin) * Self.width / span
            let length = max(1, min(Self.width - from, bar.took * Self.width / span))
            let drawing =
                String(repeating: " ", count: Int(clamping: from))
                + String(repeating: "█", count: Int(clamping: length))
            let time = Duration.milliseconds(bar.took).forPeople.padded(to: 9, before: true)
            return "  " + bar.name.padded(to: 11) + (bar.isBold ? ink.bold(time) : time) + "   "
                + drawing.padded(to: Int(Self.width) + 2) + bar.detail
        }
    }

    private static func failed(_ phase: PhaseReport) -> String { phase.status == .failed ? "failed: " : "" }

    private static func verdict(_ verification: MemberReport.Verification) -> String {
        let filesystem =
            switch verification.filesystem.result {
            case .ok: verification.filesystem.detail
            case .failed: "filesystem failed"
            case .notChecked: "filesystem not checked"
            }
        return "chain \(verification.chain.result.rawValue), \(filesystem)"
    }
}
