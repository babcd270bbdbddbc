// SPDX-License-Identifier: Apache-2.0

import Testing

@Suite("Hooks and configuration without a hypervisor", .timeLimit(.minutes(2)))
struct HooksCommandTests {
    @Test("the hooks of the build are listed, as a table and as one object")
    func list() throws {
        let table = try Command()("hooks", "list")
        #expect(table.status == 0 && table.errors.isEmpty)
        #expect(table.output.hasPrefix("NAME") && table.output.contains("\npostgresql "))
        let hooks = try #require(try Command()("hooks", "list", "--json").object()["hooks"] as? [[String: Any]])
        #expect(hooks.contains { $0["name"] as? String == "postgresql" })
        #expect(hooks.allSatisfy { ($0["sha256"] as? String)?.count == 64 })
    }

    @Test("the schema is JSON, and the same with --json")
    func schema() throws {
        let schema = try Command()("config", "schema").object()
        #expect(schema["$schema"] as? String == "https://json-schema.org/draft/2020-12/schema")
        #expect(try Command()("config", "schema", "--json").object().count == schema.count)
    }

    @Test("a right configuration is told with its files, a wrong one ends with 78 and the line")
    func check() throws {
        let right = try Command().shell(
            #"echo 'guests: { a: { hooks: [{ name: postgresql }] } }' >"$D/c.yaml"; exec "$S" config check "$D/c.yaml""#
        )
        #expect(right.status == 0 && right.output.hasPrefix("ok   ") && right.output.contains("1 guest named"))
        for (text, place) in [
            ("guests: { a: { hooks: [{ name: nosuch }] } }", "1:32"), ("guests: { a: { maxHold: 1s } }", "1:25"),
            ("defaults: { hooks: [] }", "1:13"),
        ] {
            let wrong = try Command().shell(
                "echo '\(text)' >\"$D/c.yaml\"; exec \"$S\" config check --config \"$D/c.yaml\" --json")
            #expect(wrong.status == 78 && wrong.cause.contains("c.yaml:\(place): "), "\(wrong.errors)")
            #expect(try wrong.object()["schema"] as? String == "stillpoint.error/v1")
        }
        #expect(try Command()("config", "check", "/nonexistent/c.yaml").status == 78)
    }

    @Test("commands for a guest name the hypervisor that does not answer", arguments: ["probe", "install"])
    func unreachable(word: String) throws {
        let result = try Command()("hooks", word, "db01")
        #expect(result.status == 69 && result.output.isEmpty, "\(result.errors)")
    }
}
