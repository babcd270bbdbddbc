// SPDX-License-Identifier: Apache-2.0

/// `hooks list`'s result.
public struct HooksReport: Codable, Sendable {
    public struct Row: Codable, Sendable {
        public var name: String
        public var origin: String
        public var sha256: String
        public var parameters: [String]
        public var looksFor: [String]
    }

    public var schema = "stillpoint.hooks/v1"
    public var hooks: [Row]

    public init(_ hooks: [Hook]) {
        self.hooks = hooks.map {
            Row(
                name: $0.name, origin: $0.origin, sha256: $0.sha256, parameters: $0.parameters, looksFor: $0.looksFor)
        }
    }

    public func text(_ ink: Ink = .plain) -> String {
        var table = Table()
        table.add(["NAME", "FROM", "SHA-256", "PARAMETERS"])
        for hook in hooks {
            table.add([
                hook.name, hook.origin, String(hook.sha256.prefix(16)), hook.parameters.joined(separator: " "),
            ])
        }
        return table.rows.map { $0 + "\n" }.joined()
    }
}

/// `hooks probe`'s result: what each hook that was tried said. All of it is the guest's word.
public struct ProbeReport: Codable, Sendable {
    public struct Row: Codable, Sendable {
        public enum State: String, Codable, Sendable { case absent, stopped, running, recovering, denied, unclear }

        public var name: String
        public var instance: String?
        public var state: State
        /// Why it is denied or unclear.
        public var reason: String?
        public var version: String?
        public var role: ApplicationFacts.Role?
        public var paths: [String]
        public var origin: String
        public var sha256: String
        /// Who asked for it; nil for one that was merely tried.
        public var place: String?
    }

    public var schema = "stillpoint.probe/v1"
    public var domain: GuestIdentity
    public var applications: [Row]

    public init(_ facts: GuestFacts, tried: [HookChoice]) {
        domain = facts.guest
        let found = facts.agent.report?.applications ?? []
        let names = Set(found.map(\.choice.hook.name))
        // Those that found nothing are told too, where nobody asked for them last.
        let absent = tried.filter { !names.contains($0.hook.name) }.map { ApplicationFacts($0, state: .absent) }
        applications = (found + absent).map(Row.init)
    }

    public func text(_ ink: Ink = .plain) -> String {
        var page = Page(label: 0)
        page.line(ink.bold(domain.name))
        page.gap()
        var table = Table()
        for row in applications where row.state != .absent || row.place != nil {
            let first = row.reason ?? row.paths.first ?? ""
            let name = [row.name, row.instance].compactMap { $0 }.joined(separator: " ")
            table.add(["  " + name, row.state.rawValue, row.version ?? "", row.role?.rawValue ?? "", first])
            for path in row.paths.dropFirst(row.reason == nil ? 1 : 0) { table.add(["", "", "", "", path]) }
        }
        for line in table.rows { page.line(line) }
        let absent = applications.filter { $0.state == .absent && $0.place == nil }.map(\.name)
        if !absent.isEmpty {
            page.gap()
            page.line(ink.dim("  not here: \(absent.joined(separator: " "))"))
        }
        return page.text
    }
}

extension ProbeReport.Row {
    fileprivate init(_ facts: ApplicationFacts) {
        let hook = facts.choice.hook
        let (state, reason): (State, String?) =
            switch facts.state {
            case .absent: (.absent, nil)
            case .stopped: (.stopped, nil)
            case .running: (.running, nil)
            case .recovering: (.recovering, nil)
            case .denied(let why): (.denied, why)
            case .unclear(let why): (.unclear, why)
            }
        self.init(
            name: hook.name, instance: facts.instance, state: state, reason: reason, version: facts.version,
            role: facts.role, paths: facts.paths, origin: hook.origin, sha256: hook.sha256, place: facts.choice.place)
    }
}

/// `config check`'s result where nothing is wrong.
public struct ConfigurationReport: Codable, Sendable {
    public var schema = "stillpoint.config/v1"
    /// In the order in which they were read.
    public var files: [String]
    public var guests: [String]

    public init(files: [String], guests: [String]) {
        self.files = files
        self.guests = guests
    }

    public func text(_ ink: Ink = .plain) -> String {
        if files.isEmpty { return "no configuration: the defaults hold\n" }
        let count = guests.count == 1 ? "1 guest" : "\(guests.count) guests"
        return files.map { "ok   \($0)\n" }.joined() + "     \(count) named\n"
    }
}

/// `hooks install`'s result.
public struct InstallationReport: Codable, Sendable {
    public var schema = "stillpoint.hooksInstall/v1"
    public var domain: GuestIdentity
    /// In the guest.
    public var files: [String]
    /// What is still to be done there.
    public var notes: [String]
    /// What has to be run there as root, where nothing could be put in place.
    public var script: String?

    public init(domain: GuestIdentity, files: [String] = [], notes: [String] = [], script: String? = nil) {
        self.domain = domain
        self.files = files
        self.notes = notes
        self.script = script
    }

    public func text(_ ink: Ink = .plain) -> String {
        if let script { return script }
        var page = Page(label: 12)
        page.line(ink.bold("\(domain.name)   hooks installed for the agent's own freeze"))
        page.gap()
        page.rows("written", files)
        page.rows("to do", notes)
        return page.text
    }
}
