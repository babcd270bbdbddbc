// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("the catalogue remembers each verification, and each clone until it is gone")
struct VerificationHistoryTests {
    let scratch: ScratchFolder
    let ledger: Ledger
    let run = RunID.random()

    init() throws {
        scratch = try ScratchFolder()
        ledger = Ledger(in: try StateFolder(scratch("state")))
    }

    @Test("verifications come back as they were written, oldest first, of that snapshot and guest alone")
    func history() async throws {
        let first = VerificationRecord(at: .cut, level: .filesystem, result: .ok, detail: "5/5 clean")
        let second = VerificationRecord(
            at: Timestamp(milliseconds: Timestamp.cut.milliseconds + 1, offset: 3600), level: .application,
            result: .failed, detail: "mysql: ü", bootMs: 41_000, recoveryMs: 59_000)
        try await ledger.add(first, of: run, .db01)
        try await ledger.add(second, of: run, .db01)
        try await ledger.add(first, of: .random(), .db01)
        try await ledger.add(first, of: run, .web)
        #expect(try await ledger.verifications(of: run, .db01) == [first, second])
    }

    @Test("a clone is known until its end, and says whether it was kept on purpose")
    func clones() async throws {
        let plan = ClonePlan(
            id: run, guest: .db01, name: "db01-verify", uuid: "v", folder: "/var/tmp/c", disks: [], dropped: [],
            memoryKiB: 1, definition: "")
        try await ledger.begin(plan)
        var known = try await ledger.clones(on: GuestIdentity.db01.uri)
        #expect(known.map(\.id) == [run] && known.first?.isKept == false && known.first?.folder == "/var/tmp/c")
        #expect(try await ledger.clones(on: "qemu:///session").isEmpty)
        try await ledger.keep(clone: run)
        known = try await ledger.clones(on: GuestIdentity.db01.uri)
        #expect(known.first?.isKept == true)
        try await ledger.end(clone: run)
        #expect(try await ledger.clones(on: GuestIdentity.db01.uri).isEmpty)
    }
}
