// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("the ledger knows who reads which snapshot")
struct UseTests {
    let scratch: ScratchFolder
    let ledger: Ledger

    init() throws {
        scratch = try ScratchFolder()
        ledger = Ledger(in: try StateFolder(scratch("state")))
    }

    private func use(_ kind: SnapshotUse.Kind, _ process: ProcessMark?, of guest: GuestIdentity = .db01) -> SnapshotUse
    {
        SnapshotUse(
            kind, of: .random(), "nightly", guest, label: "a 'b' \"c\"", since: .cut,
            until: Timestamp.cut.adding(milliseconds: 500), way: .fuse, folder: "/mnt/größe",
            files: ["vda.raw", "vdb.raw"],
            process: process)
    }

    @Test("it is read back as it was written, for its guest alone, and is gone when it is forgotten")
    func roundTrip() async throws {
        let (one, other) = (use(.begin, .current), use(.export, nil, of: .web))
        for use in [one, other] { try await ledger.keep(use) }
        #expect(try await ledger.uses(of: .db01) == [one])
        #expect(try await ledger.uses(of: nil).map(\.id) == [one.id, other.id])
        try await ledger.forget(one)
        try await ledger.forget(one)
        #expect(try await ledger.uses(of: .db01).isEmpty)
    }

    @Test("what changed of it is written over, under the same id")
    func change() async throws {
        var use = use(.begin, .current)
        try await ledger.keep(use)
        use.process = ProcessMark(pid: 1, boot: "an earlier boot", start: "1")
        try await ledger.keep(use)
        let found = try await ledger.uses(of: .db01)
        #expect(found.count == 1 && found.first?.process == use.process && found.first?.isServed == false)
    }

    @Test("a process is there as long as it runs, and a later one with its number is another")
    func process() throws {
        #expect(ProcessMark.current.isAlive)
        var later = ProcessMark.current
        later.start += "0"
        #expect(!later.isAlive)
        var rebooted = ProcessMark.current
        rebooted.boot = "00000000-0000-0000-0000-000000000000"
        #expect(!rebooted.isAlive)
        #expect(!ProcessMark(of: pid_t.max).isAlive)
    }

    @Test("the timer calls end for this very run, by UUID, and names no shell")
    func timer() {
        let use = use(.begin, nil)
        let timer = LifeTimer(use: use, uri: "qemu:///system", state: "/var/lib/stillpoint")
        #expect(
            timer.arguments(program: "/usr/bin/stillpoint", seconds: 43_200) == [
                "--quiet", "--collect", "--unit=stillpoint-end-\(use.run)", "--description=End of nightly of db01",
                "--on-active=43200s", "--timer-property=AccuracySec=1s", "--", "/usr/bin/stillpoint", "--connect",
                "qemu:///system", "--state-dir", "/var/lib/stillpoint", "end", GuestIdentity.db01.uuid,
                use.run.description, "--wait", "10m",
            ])
        #expect(timer.arguments(program: "x", seconds: -5).contains("--on-active=1s"))
    }
}
