// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("What hooks gave is kept byte by byte")
struct ArtifactTests {
    private let scratch: ScratchFolder
    private let workplace: Workplace
    private let run = RunID.random()
    private let bytes: [UInt8] = [0, 0xFF, 0x0A, 0x0D, 0x1B]

    init() throws {
        scratch = try ScratchFolder()
        _ = try scratch.makeFolder("images")
        try scratch.write("", to: "config.yaml")
        workplace = try Workplace(
            HypervisorURI("qemu:///system"), stateFolder: scratch("state"), configuration: scratch("config.yaml"))
    }

    private func keep(as name: String = "postgresql-15-main-backup_label") async throws {
        var report = try RunReport.example(run, overlays: [scratch("images/x")])
        let artifact = HookReply.Artifact(name: name, bytes: bytes, sha256: SHA256.hex(of: bytes))
        let hook = Hook(name: "postgresql", origin: "built in", sha256: "", text: "")
        report.members[0].applications = [
            MemberReport.Application(
                ApplicationFacts(HookChoice(hook), state: .running), .prepared, nil,
                artifacts: [.init(name: name, sha256: artifact.sha256)])
        ]
        try await workplace.catalogue.add(report, definition: "", artifacts: [artifact])
    }

    @Test("in the state folder and beside the overlays, for the user alone, and is given back as it was")
    func kept() async throws {
        try await keep()
        for folder in ["state/runs/\(run)", "images/.stillpoint/\(run)"] {
            #expect(try scratch.mode("\(folder)/postgresql-15-main-backup_label") == 0o600)
        }
        let given = try await workplace.artifact("postgresql-15-main-backup_label", of: .db01, nil)
        #expect(given == bytes)
        let shown = try await workplace.artifact(
            "postgresql-15-main-backup_label", of: .db01, nil, forTerminal: true)
        #expect(String(decoding: shown, as: UTF8.self) == "\\u{0}\u{FFFD}\n\\u{D}\\u{1B}")
    }

    @Test(
        "a name that the manifest does not have is not looked for, and those it has are named",
        arguments: ["", "backup_label", "manifest.json", "domain.xml", "../manifest.json", "/etc/passwd", "\u{1B}[31m"])
    func unknown(name: String) async throws {
        try await keep()
        let failure = try await #require(
            #expect(throws: Failure.self) { try await workplace.artifact(name, of: .db01, "nightly") })
        #expect(failure.status == .noSuchThing && failure.hint == "it has postgresql-15-main-backup_label")
        #expect(!failure.message.contains("\u{1B}"))
    }

    @Test("one that was changed or is gone is an error, never other bytes")
    func damaged() async throws {
        try await keep()
        let file = "state/runs/\(run)/postgresql-15-main-backup_label"
        try scratch.write("forged", to: file)
        let failure = await #expect(throws: Failure.self) {
            try await workplace.artifact("postgresql-15-main-backup_label", of: .db01, nil)
        }
        #expect(failure?.message.contains("postgresql-15-main-backup_label") == true)
        #expect(unlink(scratch(file)) == 0)
        await #expect(throws: Failure.self) {
            try await workplace.artifact("postgresql-15-main-backup_label", of: .db01, nil)
        }
    }
}
