// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import Testing

@testable import QuiesceKVM

@Suite("What the configuration says of hooks")
struct HookWordsTests {
    private let scratch: ScratchFolder
    let catalogue: HookCatalogue

    init() throws {
        scratch = try ScratchFolder()
        let texts = [
            ("postgresql", "# parameters: instance mode\n"), ("mysql", "# parameters: instance mode lockWait\n"),
            ("redis", ""),
        ]
        catalogue = try HookCatalogue(
            [], builtIn: texts.map { (name: $0.0, text: Array("# stillpoint-hook: 1\n\($0.1)".utf8)) }, common: [])
    }

    private func hooks(_ text: String, named names: [String] = [], of guest: String = "db01") throws -> [HookChoice] {
        try scratch.write(text, to: "config.yaml")
        return try Settings(file: scratch("config.yaml")).hooks(of: guest, named: names, from: catalogue)
    }

    private static let example = """
        defaults: { hookTimeout: 40s }
        guests:
          db01:
            hooks:
              - { name: mysql, mode: strict, lockWait: 5s, timeout: 20s, policy: degrade }
              - { name: postgresql, instance: 15/main, mode: checkpoint }
              - name: postgresql
                instance: "16/a b"
        """

    @Test("they come in its order, with its words and the line that says so")
    func configured() throws {
        let hooks = try hooks(Self.example)
        #expect(hooks.map(\.hook.name) == ["mysql", "postgresql", "postgresql"])
        #expect(hooks.map(\.place) == ["config.yaml line 5", "config.yaml line 6", "config.yaml line 7"])
        #expect(hooks.map(\.policy) == [.degrade, .fail, .fail])
        #expect(hooks.map(\.timeout) == [.seconds(20), .seconds(40), .seconds(40)])
        #expect(hooks[0].parameters == ["mode": "strict", "lockWait": "5s"])
        #expect(hooks[1].parameters == ["instance": "15/main", "mode": "checkpoint"])
        #expect(hooks[2].parameters == ["instance": "16/a b"])
    }

    @Test("a guest of which it says nothing tries every hook, and forgives those that fail")
    func discovered() throws {
        let hooks = try hooks(Self.example, of: "web")
        #expect(hooks.map(\.hook.name) == ["postgresql", "mysql", "redis"])
        #expect(hooks.allSatisfy { $0.place == nil && $0.policy == .degrade && $0.timeout == .seconds(40) })
    }

    @Test("an empty list is no hook at all")
    func none() throws {
        #expect(try hooks("guests: { db01: { hooks: [] } }").isEmpty)
    }

    @Test("those named on the command line come alone, with what the configuration says of them")
    func named() throws {
        let hooks = try hooks(Self.example, named: ["redis", "postgresql", "redis"])
        #expect(hooks.map(\.hook.name) == ["redis", "postgresql", "postgresql"])
        #expect(hooks.map(\.place) == ["--hook", "config.yaml line 6", "config.yaml line 7"])
        #expect(hooks.map(\.policy) == [.fail, .fail, .fail])
    }

    @Test(
        "a name on the command line that no hook has is a usage error",
        arguments: ["", "psql", "../x", "a\nb", "Redis"])
    func unknownName(name: String) throws {
        let failure = #expect(throws: Failure.self) { try hooks(Self.example, named: [name]) }
        #expect(failure?.status == .usage && failure?.hint == "known: postgresql mysql redis")
    }

    /// `^` stands before the place that the message names.
    @Test(
        "what makes no sense is refused where it stands, and what would is named",
        arguments: [
            ("hooks: ^mysql", "a list"), ("hooks: [^mysql]", "keys and values"),
            ("hooks: [^{}]", "a hook's name is wanted"), ("hooks: [^{ mode: strict }]", "a hook's name is wanted"),
            ("hooks: [{ name: ^[mysql] }]", "a single value"), ("hooks: [{ name: ^mysqld }]", "unknown hook mysqld"),
            ("hooks: [{ name: ^../mysql }]", "unknown hook ../mysql"),
            ("hooks: [{ name: mysql, policy: ^maybe }]", "fail, degrade or ignore"),
            ("hooks: [{ name: mysql, policy: ^\"\" }]", "fail, degrade or ignore"),
            ("hooks: [{ name: mysql, timeout: ^5 }]", "a time such as"),
            ("hooks: [{ name: mysql, timeout: ^0s }]", "1s to 1h"),
            ("hooks: [{ name: mysql, timeout: ^500ms }]", "a time such as"),
            ("hooks: [{ name: mysql, timeout: ^61m }]", "a time such as"),
            ("hooks: [{ name: mysql, lockwait: ^5s }]", "mysql has no parameter lockwait"),
            ("hooks: [{ name: redis, instance: ^a }]", "redis has no parameter instance"),
            ("hooks: [{ name: redis, \"\\e[2J\": ^a }]", #"redis has no parameter \u{1B}[2J"#),
            ("hooks: [{ name: mysql, mode: ^[a] }]", "a single value"),
            ("hooks: [{ name: mysql, mode: ^\"a\\nb\" }]", "without control characters"),
            ("hooks: [{ name: mysql, mode: ^\"\\e[31m\" }]", "without control characters"),
            ("hooks: [{ name: mysql, ^mode: a, mode: b }]", "mode is there twice"),
            ("hooks: [{ name: mysql }, ^{ name: mysql }]", "mysql is there twice"),
            ("hooks: [{ name: mysql, instance: a }, ^{ name: mysql, instance: a }]", "mysql is there twice"),
            ("maxHold: ^1s", "2s to 10m"), ("maxHold: ^11m", "a time such as"),
            ("maxHold: ^-5s", "a time such as"), ("maxHold: ^[5s]", "a single value"),
        ])
    func senseless(text: String, message: String) throws {
        let whole = "guests: { db01: { \(text) } }"
        let column = try #require(whole.firstIndex(of: "^")).utf16Offset(in: whole) + 1
        let failure = try #require(
            #expect(throws: Failure.self) { try hooks(whole.replacing("^", with: "")) })
        #expect(failure.status == .configuration)
        let said = failure.message.replacing(scratch.path + "/", with: "")
        #expect(said.hasPrefix("config.yaml:1:\(column): ") && said.contains(message), "\(failure.message)")
    }

    @Test("the hint of an unknown parameter names all that are known")
    func hint() throws {
        let failure = #expect(throws: Failure.self) {
            try hooks("guests: { db01: { hooks: [{ name: mysql, x: 1 }] } }")
        }
        #expect(failure?.hint == "known here: instance lockWait mode name policy timeout")
    }

    @Test("a check looks at every guest")
    func check() throws {
        try scratch.write("guests: { a: {}, b: { hooks: [{ name: nosuch }] } }", to: "config.yaml")
        let settings = try Settings(file: scratch("config.yaml"))
        #expect(settings.guestNames == ["a", "b"] && settings.files == [scratch("config.yaml")])
        #expect(try settings.hooks(of: "a", from: catalogue).count == 3)
        #expect(throws: Failure.self) { try settings.check(with: catalogue) }
    }

    @Test("the schema has every key and every hook with its parameters")
    func schema() throws {
        try Golden.expect(ConfigurationSchema(catalogue).text(), is: "config-schema.json")
    }

    @Test("the list of hooks tells where each is from")
    func list() throws {
        var hooks = catalogue.hooks
        hooks[1].origin = "/etc/stillpoint/hooks/mysql"
        try Golden.expect(HooksReport(hooks).text(), is: "hooks-list.txt")
        try Golden.expect(JSONText.of(HooksReport(hooks)) + "\n", is: "hooks-list.json")
    }

    @Test("what the probes found is a table, and what is not here a line")
    func probes() throws {
        let choices = catalogue.hooks.map { HookChoice($0) }
        var facts = try Examples.facts()
        guard case .answers(var report) = facts.agent else { Issue.record("no agent"); return }
        report.applications = [
            ApplicationFacts(
                choices[0], instance: "15/main", state: .running, role: .primary, version: "15.18",
                paths: ["/var/lib/postgresql/15/main", "/srv/wal"]),
            ApplicationFacts(choices[0], instance: "16/b", state: .stopped, version: "16.1"),
            ApplicationFacts(choices[1], state: .denied("root may not connect")),
        ]
        facts.agent = .answers(report)
        try Golden.expect(ProbeReport(facts, tried: choices).text(), is: "hooks-probe.txt")
        try Golden.expect(JSONText.of(ProbeReport(facts, tried: choices)) + "\n", is: "hooks-probe.json")
    }
}
