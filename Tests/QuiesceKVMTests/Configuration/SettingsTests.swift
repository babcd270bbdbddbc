// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("the configuration is taken at its word, and every word is known")
struct SettingsTests {
    let scratch: ScratchFolder

    init() throws { scratch = try ScratchFolder() }

    private func settings(_ text: String) throws -> Settings {
        try scratch.write(text, to: "config.yaml")
        return try Settings(file: scratch("config.yaml"))
    }

    private func error(_ text: String) throws -> String? {
        let failure = #expect(throws: Failure.self, "\(text)") { try settings(text) }
        #expect(failure?.status == .configuration)
        return failure.map { $0.message.replacing(scratch.path + "/", with: "") }
    }

    @Test("a guest's own words go before the defaults")
    func complete() throws {
        let settings = try settings(
            """
            defaults: { require: application, maxFreeze: 5s, maxHold: 20s, hookTimeout: 2m }
            guests:
              db01:
                exclude: [vdc,
                          vdd]
                maxFreeze: 2500ms
              "web 1":
                require: crash
                maxHold: 3s
            chain: { warn: 4, refuse: 12 }
            """)
        let vdc = try #require(DiskTarget("vdc"))
        let vdd = try #require(DiskTarget("vdd"))
        #expect(settings.guest("db01").exclude == [vdc: "config.yaml line 4", vdd: "config.yaml line 5"])
        #expect(settings.guest("db01").require == .application)
        #expect(settings.guest("db01").maxFreeze == .milliseconds(2500))
        #expect(settings.guest("web 1").require == .crash)
        #expect(settings.guest("web 1").maxHold == .seconds(3))
        #expect(
            settings.guest("other")
                == Settings.Guest(
                    require: .application, maxFreeze: .seconds(5), maxHold: .seconds(20), hookTimeout: .seconds(120)))
        #expect(settings.chain == ChainLimits(warn: 4, refuse: 12))
    }

    @Test("an empty file says nothing", arguments: ["", "# nothing\n", "---\n", "defaults:\nguests:\n  db01:\n"])
    func empty(text: String) throws {
        let settings = try settings(text)
        #expect(settings.guest("db01") == Settings.Guest())
        #expect(settings.chain == ChainLimits())
    }

    @Test(
        "an unknown key is refused where it stands",
        arguments: [
            ("defaults: { require: crash, hooktimeout: 30s }", "1:29", "hooktimeout"),
            ("defaults:\n  hooks: []\n", "2:3", "hooks"),
            ("guests:\n  db01:\n    hookTimeout: 30s\n", "3:5", "hookTimeout"),
            ("\nretain: { keep: 7 }", "2:1", "retain"), ("prune: { depth: 7 }", "1:10", "depth"),
            ("chain: { warn: 8, <<: {} }", "1:19", "<<"),
        ])
    func unknown(text: String, place: String, key: String) throws {
        #expect(try error(text) == "config.yaml:\(place): unknown key \(key)")
    }

    @Test(
        "a value that makes no sense is refused where it stands",
        arguments: [
            ("defaults: { require: none }", "1:22"), ("defaults: { require: [crash] }", "1:22"),
            ("defaults: { maxFreeze: 5 }", "1:24"), ("defaults: { maxFreeze: 31s }", "1:24"),
            ("defaults: { maxFreeze: 0s }", "1:24"), ("defaults: { maxFreeze: 500ms }", "1:24"),
            ("guests: { a: { exclude: vdc } }", "1:25"),
            ("guests: { a: { exclude: [vdc, ../x] } }", "1:31"), ("chain: { warn: -1 }", "1:16"),
            ("prune: { keep: -1 }", "1:16"), ("prune: { olderThan: 7 }", "1:21"),
            ("prune: { keep: 7, olderThan: 7d }", "1:30"),
            ("chain: { refuse: 201 }", "1:18"), ("chain: { warn: 31 }", "1:8"), ("[]", "1:1"), ("guests: 5", "1:9"),
        ])
    func senseless(text: String, place: String) throws {
        #expect(try error(text)?.hasPrefix("config.yaml:\(place): ") == true)
    }

    @Test("what prune is to keep")
    func prune() throws {
        #expect(Settings().prune == nil)
        var settings = Settings()
        try settings.add("prune: { keep: 7 }", from: "config.yaml")
        #expect(settings.prune == .keep(7))
        try settings.add("prune: { olderThan: 30d }", from: "config.yaml")
        #expect(settings.prune == .olderThan(.seconds(30 * 86400)))
    }

    @Test("a key that is there twice is refused")
    func twice() throws {
        #expect(try error("chain: {}\nguests: {}\nchain: {}\n")?.hasSuffix("chain is there twice") == true)
        #expect(try error("chain: { warn: 1, warn: 2 }")?.hasSuffix("warn is there twice") == true)
    }

    @Test("a key that would move a terminal's cursor is told escaped")
    func hostile() throws {
        for text in [#"{ "\e[2J": 1 }"#, #"{ chain: { "\e[2J": 1 } }"#, #"{ "\e[2J": 1, "\e[2J": 2 }"#] {
            let message = try error(text)
            #expect(message?.contains(#"\u{1B}[2J"#) == true && message?.contains("\u{1B}") == false, "\(text)")
        }
    }

    @Test("what is no YAML is refused with its place")
    func broken() throws {
        #expect(try error("guests: [\n")?.hasPrefix("config.yaml:2:") == true)
        #expect(try error("a: b: c")?.hasPrefix("config.yaml:1:") == true)
        #expect(try error("chain: *nothing")?.hasPrefix("config.yaml:1:") == true)
        _ = try error(String(repeating: "[", count: 100_000))
        _ = try error("\u{0}")
    }

    @Test("aliases that grow without end are refused before they do")
    func bomb() throws {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        for level in 1...40 {
            let nine = Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(nine)]\n"
        }
        #expect(try error(text) == "config.yaml:1:1: unknown key a0")
    }

    @Test("a file larger than any configuration is refused")
    func large() throws {
        #expect(
            try error(String(repeating: "# comment\n", count: 30_000)) == "config.yaml: larger than 256 KiB")
    }

    @Test("a file that was named has to be there, the standard one does not")
    func missing() throws {
        let failure = #expect(throws: Failure.self) { try Settings(file: scratch("none.yaml")) }
        #expect(failure?.status == .configuration)
        #expect(try Settings(folder: scratch("none")) == Settings())
        #expect(try Settings(folder: scratch.path) == Settings())
    }

    @Test("conf.d is read after the main file, in the order of its names, and only what ends in .yaml")
    func additions() throws {
        _ = try scratch.makeFolder("conf.d")
        try scratch.write("chain: { warn: 1 }\nguests: { a: { exclude: [vda], require: crash } }", to: "config.yaml")
        try scratch.write("chain: { warn: 3 }", to: "conf.d/20.yaml")
        try scratch.write("chain: { warn: 2 }\nguests: { a: { exclude: [vdb] } }", to: "conf.d/10.yaml")
        try scratch.write("nonsense", to: "conf.d/10.yaml.dpkg-old")
        try scratch.write("nonsense", to: "conf.d/.10.yaml")
        let settings = try Settings(folder: scratch.path)
        #expect(settings.chain.warn == 3)
        #expect(settings.guest("a").exclude == [try #require(DiskTarget("vdb")): "10.yaml line 2"])
        #expect(settings.guest("a").require == .crash)
    }
}
