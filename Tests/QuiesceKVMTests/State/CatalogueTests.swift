// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("the catalogue keeps every snapshot and its papers")
struct CatalogueTests {
    let scratch: ScratchFolder
    let ledger: Ledger
    let run = RunID.random()

    init() throws {
        scratch = try ScratchFolder()
        ledger = Ledger(in: try StateFolder(scratch("state")))
        _ = try scratch.makeFolder("one")
        _ = try scratch.makeFolder("two")
    }

    @Test("a snapshot is listed for its guest, oldest first, with the time as the host saw it")
    func entries() async throws {
        let later = Timestamp(milliseconds: Timestamp.cut.milliseconds + 250, offset: -1800)
        let other = RunID.random()
        try await ledger.add(
            .example(other, named: "b", overlays: [scratch("one/x")], at: later), definition: "", artifacts: [])
        try await ledger.add(.example(run, named: "a", overlays: [scratch("one/y")]), definition: "", artifacts: [])
        try await ledger.add(.example(of: .web, overlays: [scratch("one/z")]), definition: "", artifacts: [])
        let found = try await ledger.entries(of: .db01)
        #expect(found.map(\.run) == [run, other])
        #expect(found.map(\.name) == ["a", "b"])
        #expect(found.map(\.createdAt) == [.cut, later])
        #expect(found.allSatisfy { $0.guest == .db01 && $0.consistency == .filesystem && $0.fate == .kept })
        #expect(try await ledger.entries(of: nil).count == 3)
    }

    @Test("a guest is known by its UUID, whatever its name is now")
    func renamed() async throws {
        try await ledger.add(.example(run, overlays: [scratch("one/x")]), definition: "", artifacts: [])
        var guest = GuestIdentity.db01
        guest.name = "db01-old"
        #expect(try await ledger.entries(of: guest).map(\.run) == [run])
    }

    @Test("manifest and definition lie in the state folder and beside every overlay, for the user alone")
    func papers() async throws {
        let report = try RunReport.example(run, overlays: [scratch("one/x"), scratch("one/y"), scratch("two/z")])
        try await ledger.add(report, definition: "<domain>ü</domain>", artifacts: [])
        for folder in ["state/runs/\(run)", "one/.stillpoint/\(run)", "two/.stillpoint/\(run)"] {
            #expect(try scratch.text(of: "\(folder)/domain.xml") == "<domain>ü</domain>")
            #expect(try scratch.text(of: "\(folder)/manifest.json").contains("\"schema\": \"stillpoint.run/v1\""))
            #expect(try scratch.mode(folder) == 0o700)
            #expect(try scratch.mode("\(folder)/manifest.json") == 0o600)
            #expect(try scratch.mode("\(folder)/domain.xml") == 0o600)
        }
    }

    @Test("the manifest is read back as it was written")
    func manifest() async throws {
        let report = try RunReport.example(run, overlays: [scratch("one/x")])
        try await ledger.add(report, definition: "", artifacts: [])
        let again = try await ledger.manifest(of: run)
        #expect(again.run == run.description)
        #expect(again.cut?.at.milliseconds == Timestamp.cut.milliseconds)
        #expect(again.members.first?.snapshot?.disks.first?.virtualSizeBytes == 1 << 40)
        #expect(again.members.first?.domain == .db01)
    }

    @Test("a committed or undone snapshot takes its papers beside the overlays along, and only its own")
    func marked() async throws {
        let other = RunID.random()
        try await ledger.add(
            .example(run, overlays: [scratch("one/x"), scratch("two/x")]), definition: "", artifacts: [])
        try await ledger.add(.example(other, overlays: [scratch("one/y")]), definition: "", artifacts: [])
        try await ledger.mark(run, .committed)
        #expect(try scratch.mode("one/.stillpoint/\(other)") == 0o700)
        #expect(!exists(scratch("one/.stillpoint/\(run)")))
        // Broken off before its last step.
        try FileManager.default.removeItem(atPath: scratch("one/.stillpoint/\(other)"))
        try await ledger.mark(run, .committed)
        #expect(!exists(scratch("one/.stillpoint")))
        #expect(!exists(scratch("two/.stillpoint")))
        #expect(try await ledger.entries(of: .db01).first { $0.run == run }?.fate == .committed)
        #expect(try await ledger.manifest(of: run).run == run.description)
        try await ledger.mark(other, .undone)
        #expect(!exists(scratch("one/.stillpoint")))
    }

    @Test("an abandoned snapshot keeps its papers")
    func abandoned() async throws {
        try await ledger.add(.example(run, overlays: [scratch("one/x")]), definition: "", artifacts: [])
        try await ledger.mark(run, .abandoned)
        #expect(exists(scratch("one/.stillpoint/\(run)/manifest.json")))
    }

    @Test("marking twice, or when the overlays' folder is gone, is fine")
    func markedTwice() async throws {
        try await ledger.add(.example(run, overlays: [scratch("one/x")]), definition: "", artifacts: [])
        try await ledger.mark(run, .committed)
        try FileManager.default.removeItem(atPath: scratch("one"))
        try await ledger.mark(run, .committed)
    }

    @Test("a snapshot whose papers cannot lie beside it is in the catalogue all the same")
    func besideFails() async throws {
        try scratch.write("", to: "one/.stillpoint")
        let failure = await #expect(throws: Failure.self) {
            try await ledger.add(.example(run, overlays: [scratch("one/x")]), definition: "", artifacts: [])
        }
        #expect(failure?.message.contains(scratch("one")) == true)
        #expect(try await ledger.entries(of: .db01).map(\.run) == [run])
        #expect(try await ledger.manifest(of: run).run == run.description)
    }

    @Test("a .stillpoint that another could have prepared is not written to")
    func prepared() async throws {
        let trap = try scratch.makeFolder("one/.stillpoint", mode: 0o777)
        await #expect(throws: Failure.self) {
            try await ledger.add(.example(run, overlays: [scratch("one/x")]), definition: "", artifacts: [])
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: trap) == [])
    }

    @Test("an unknown run has no manifest and no fate")
    func unknown() async throws {
        let missing = await #expect(throws: Failure.self) { try await ledger.manifest(of: run) }
        #expect(missing?.status == .noSuchThing)
        let unmarked = await #expect(throws: Failure.self) { try await ledger.mark(run, .committed) }
        #expect(unmarked?.status == .noSuchThing)
    }

    @Test(
        "papers that are not as they were written are an error that names the file, not an empty report",
        arguments: ["manifest.json", "domain.xml", "SHA256SUMS"], [nil, "", "{\"schema\":"])
    func damaged(file: String, text: String?) async throws {
        try await ledger.add(.example(run, overlays: [scratch("one/x")]), definition: "<domain/>", artifacts: [])
        let path = "state/runs/\(run)/\(file)"
        try FileManager.default.removeItem(atPath: scratch(path))
        if let text { try scratch.write(text, to: path) }
        let failure = await #expect(throws: Failure.self) { try await ledger.manifest(of: run) }
        let isMissing = file == "manifest.json" && text == nil
        #expect(failure?.status == (isMissing ? .noSuchThing : .internalError))
        #expect(failure?.message.contains(isMissing ? "it is not in" : ": \(file) in ") == true)
    }

    @Test("two papers of one name are one file with one line")
    func sameName() async throws {
        let papers = ["first", "last"].map { text in
            HookReply.Artifact(name: "redis-dump", bytes: Array(text.utf8), sha256: SHA256.hex(of: Array(text.utf8)))
        }
        try await ledger.add(.example(run, overlays: [scratch("one/x")]), definition: "<domain/>", artifacts: papers)
        #expect(try await ledger.manifest(of: run).run == run.description)
        #expect(try scratch.text(of: "state/runs/\(run)/redis-dump") == "last")
        let sums = try scratch.text(of: "state/runs/\(run)/SHA256SUMS").split(separator: "\n")
        #expect(sums.filter { $0.hasSuffix("  redis-dump") }.count == 1 && sums.count == 3)
    }

    @Test("sha256sum finds the papers as they were written, in both places")
    func digests() async throws {
        try await ledger.add(
            .example(run, overlays: [scratch("one/x")]), definition: "<domain>ü</domain>", artifacts: [])
        for folder in ["state/runs/\(run)", "one/.stillpoint/\(run)"] {
            let check = try Shell.run(#"cd "$1" && sha256sum --check --strict SHA256SUMS"#, [scratch(folder)])
            #expect(check.status == 0)
            #expect(check.output == "domain.xml: OK\nmanifest.json: OK\n")
        }
    }

    @Test(
        "what a revert leaves is written down to its end or not at all", .enabled(if: canMount),
        arguments: [(30_000, "branch.json domain.xml nvram.fd"), (100_000, nil)])
    func branch(_ size: Int, _ papers: String?) async throws {
        let branch = Branch(
            run: run, guest: .db01, leftAt: .cut, revertedTo: "a", leaves: [], current: nil, forgotten: [], merged: [:])
        try await onTinyFilesystem { place in
            let state = try StateFolder(place + "/state")
            let keep = { () throws(Failure) in
                try Manifest.keep(
                    branch, definition: "<domain/>", variables: Array(repeating: 0, count: size), in: state)
            }
            guard let papers else {
                #expect(throws: Failure.self, performing: keep)
                #expect(try Shell.run(#"ls -A "$1""#, ["\(place)/state/runs"]).output == "")
                return
            }
            try keep()
            #expect(try Shell.run(#"cd "$1" && echo *"#, ["\(place)/state/runs/\(run)"]).output == papers + "\n")
        }
    }

    @Test(
        "of a run that came to nothing half its papers are no history",
        arguments: [nil, "manifest.json", "branch.json"])
    func unfinished(_ last: String?) throws {
        let folder = "state/runs/\(run)"
        _ = try Shell.run(#"mkdir -p "$1""#, [scratch(folder)])
        for paper in ["domain.xml", ".branch.json.new", "guard", last].compactMap(\.self) {
            try scratch.write("x", to: "\(folder)/\(paper)")
        }
        Manifest.forgetUnfinished(of: run, in: try StateFolder(scratch("state")))
        #expect(exists(scratch(folder)) == (last != nil))
        #expect(last == nil || exists(scratch("\(folder)/domain.xml")))
        #expect(!exists(scratch("\(folder)/guard")))
    }
}
