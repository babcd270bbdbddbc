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
            "frozen \(ink.bold(Duration.milliseconds($0.windowMs).forPeople))"
                + " of \(Duration.milliseconds($0.maxFreezeMs).forPeople) allowed"
        }
        let head = "\(member.domain.name)   \(title)"
        page.line(ink.bold(head) + "   ".padded(to: 49 - head.count) + (window ?? ""))
        page.gap()
        if let snapshot = member.snapshot {
            let time = cut.map { "cut at \($0.at.local)" } ?? ""
            page.rows("snapshot", ["\(snapshot.name.padded(to: 25)) \(time)"])
            if let note = snapshot.description { page.rows("", [note]) }
            page.rows("disks", Self.disks(snapshot))
            if let memory = snapshot.memory {
                page.rows("memory", ["\(ByteCount(memory.bytes))   \(memory.file)"])
            }
            if let variables = snapshot.nvram { page.rows("UEFI", ["variables of \(variables.source)"]) }
            if let missing = snapshot.notIncluded { page.rows("not in it", [missing.joined(separator: "   ")]) }
            page.rows("left out", snapshot.excluded.map { "\($0.target.description.padded(to: 6)) \($0.reason)" })
        }
        if let freeze = member.freeze { page.rows("frozen", [Self.frozen(freeze)]) }
        page.gap()
        write(member.applications, on: &page)
        page.gap()
        for row in Timeline(member, ink).rows { page.line(row) }
        page.gap()
        page.rows("because", verdict.reasons)
        for check in [member.verification.chain, member.verification.filesystem] where check.result == .failed {
            page.rows("failed", [check.detail])
        }
        if member.verification.filesystem.result == .ok, Timeline.hidesPart(of: member.verification) {
            page.rows("verified", [member.verification.filesystem.detail])
        }
        page.gap()
        if let snapshot = member.snapshot {
            page.rows("look", ["stillpoint verify \(member.domain.name) \(snapshot.name)"])
            if snapshot.kind == .inside {
                page.rows("go back", ["virsh snapshot-revert \(member.domain.name) \(snapshot.name)"])
                page.rows("remove", ["virsh snapshot-delete \(member.domain.name) \(snapshot.name)"])
            } else {
                page.rows("go back", ["stillpoint revert \(member.domain.name) \(snapshot.name)"])
                page.rows("carry on", ["stillpoint commit \(member.domain.name) \(snapshot.name)"])
            }
        }
        if mayBeFrozen { page.rows("thaw", ["stillpoint thaw \(member.domain.name)"]) }
        if member.freeze != nil { page.line("  * as reported by the guest") }
    }

    private func write(_ applications: [MemberReport.Application], on page: inout Page) {
        var table = Table()
        for application in applications {
            let name = [application.position?.kind ?? application.name, application.instance].compactMap { $0 }.joined(
                separator: " ")
            let words: (String, String) =
                switch application.status {
                case .skipped: ("left out: \(application.reason ?? "")", "")
                case .failed: ("not prepared: \(application.reason ?? "")", "")
                case .notReleased: ("RELEASE NOT CONFIRMED: \(application.reason ?? "")", "")
                case .prepared where isDrill: (application.drillText, "")
                case .prepared: (application.position?.text ?? "prepared", application.position?.promise ?? "")
                }
            table.add([name, application.version ?? "", words.0, words.1])
        }
        for row in table.rows { page.line("  " + row) }
    }

    private var isDrill: Bool { schema == Self.drillSchema }

    private var mayBeFrozen: Bool { exit == ExitStatus.maybeFrozen.rawValue }

    private var title: String {
        if mayBeFrozen { return "MAY STILL BE FROZEN" }
        if isDrill { return "drill: \(verdict.consistency.rawValue) would be reached" }
        return switch verdict.consistency {
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

extension MemberReport.Application {
    fileprivate var drillText: String {
        let verbs: [(HookVerb, String)] = [(.prepare, "prepare"), (.preFreeze, "lock"), (.postThaw, "release")]
        let parts = verbs.compactMap { verb, word in
            tookMs[verb.rawValue].map { "\(word) \(Duration.milliseconds($0).forPeople)" }
        }
        let hold = holdMs.map { ["held \(Duration.milliseconds($0).forPeople)"] } ?? ["no lock"]
        return (parts + hold).joined(separator: "   ")
    }
}

extension Position {
    /// In the engine's words, on one line.
    fileprivate var text: String {
        switch kind {
        case "postgresql": "LSN \(word("lsn")), timeline \(word("timeline"))"
        case "mariadb", "mysql": "\(word("file")):\(word("position")), \(word("gtid"))"
        case "redis": relation == .exact ? "offset \(word("offset"))" : "saved at \(word("lastSave"))"
        default: fields.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        }
    }

    private func word(_ key: String) -> String { fields[key]?.description ?? "?" }

    fileprivate var promise: String {
        switch relation {
        case .exact: "recovers to exactly"
        case .atLeast: "recovers to at least"
        }
    }
}

/// Where the time of a run went, one bar a phase, on one scale.
private struct Timeline {
    private static let width: Int64 = 36
    private static let timeWidth = 10
    /// What is left of 100 columns.
    private static let detailWidth = 37
    private var bars: [(name: String, start: Int64, took: Int64, detail: String, isBold: Bool)] = []
    private let ink: Ink

    init(_ member: MemberReport, _ ink: Ink) {
        self.ink = ink
        let window: Set<Phase> = [.freeze, .cut, .thaw]
        let hold = member.phases.filter { $0.name == .preFreeze || $0.name == .postThaw }
        if let start = hold.map(\.startMs).min(), let end = hold.map({ $0.startMs.addingClamped($0.tookMs) }).max() {
            let detail = hold.map { "\(Self.failed($0))\($0.name.rawValue) \($0.tookMs)" }.joined(separator: " + ")
            add("hold", start, end.addingClamped(-start), detail + " ms")
        }
        for phase in member.phases
        where !window.contains(phase.name) && phase.name != .preFreeze && phase.name != .postThaw {
            let detail = phase.name == .verify ? Self.verdict(member.verification) : phase.detail ?? ""
            add(phase.name.rawValue, phase.startMs, phase.tookMs, Self.failed(phase) + detail)
        }
        let parts = member.phases.filter { window.contains($0.name) && $0.status != .skipped }
        if let start = parts.map(\.startMs).min(), let freeze = member.freeze {
            let detail =
                parts.map { "\(Self.failed($0))\($0.name.rawValue) \($0.tookMs)" }.joined(separator: " + ") + " ms"
            add("window", start, freeze.windowMs, detail, isBold: true)
        } else if let cut = parts.first {
            add("cut", cut.startMs, cut.tookMs, Self.failed(cut) + (cut.detail ?? ""), isBold: true)
        }
        bars.sort { $0.start < $1.start }
    }

    /// A manifest is a file, and its numbers may be any: a century bounds the arithmetic. A long detail is told in full
    /// by the reasons below.
    private mutating func add(_ name: String, _ start: Int64, _ took: Int64, _ detail: String, isBold: Bool = false) {
        let century: Int64 = 36_525 * 86_400_000
        bars.append((name, min(max(start, 0), century), min(max(took, 0), century), detail, isBold))
    }

    var rows: [String] {
        guard let begin = bars.map(\.start).min(), let end = bars.map({ $0.start + $0.took }).max() else { return [] }
        let span = max(1, end - begin)
        let times = bars.map { Duration.milliseconds($0.took).forPeople.count }
        let column = max(Self.timeWidth, times.max() ?? 0)
        let room = Self.detailWidth + Self.timeWidth - column
        return bars.map { bar in
            let from = min(Self.width - 1, (bar.start - begin) * Self.width / span)
            let length = max(1, min(Self.width - from, bar.took * Self.width / span))
            let drawing =
                String(repeating: " ", count: Int(clamping: from))
                + String(repeating: "█", count: Int(clamping: length))
            let time = Duration.milliseconds(bar.took).forPeople.padded(to: column, before: true)
            let detail = bar.detail.count > room ? bar.detail.prefix(room - 1) + "…" : bar.detail
            let figures = "  " + bar.name.padded(to: 10) + (bar.isBold ? ink.bold(time) : time)
            return figures + "   " + drawing.padded(to: Int(Self.width) + 2) + detail
        }
    }

    /// Its detail is longer than the line has room for.
    static func hidesPart(of verification: MemberReport.Verification) -> Bool {
        verdict(verification).count > detailWidth
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
