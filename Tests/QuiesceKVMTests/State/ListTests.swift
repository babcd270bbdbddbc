// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("the snapshots of every guest are listed, whatever can be asked")
struct ListTests {
    @Test("of a guest that cannot be asked they stand there too, marked with the reason")
    func unreachable() async throws {
        let scratch = try ScratchFolder()
        _ = try scratch.makeFolder("images")
        try scratch.write("", to: "config.yaml")
        let nowhere = "qemu+unix:///system?socket=/nonexistent/socket"
        let workplace = try Workplace(
            HypervisorURI(nowhere), stateFolder: scratch("state"), configuration: scratch("config.yaml"))
        let guest = GuestIdentity(name: "db01", uuid: GuestIdentity.db01.uuid, uri: nowhere)
        let report = try RunReport.example(of: guest, overlays: [scratch("images/x")])
        try await workplace.catalogue.add(report, definition: "", artifacts: [])
        let list = try await workplace.list(nil)
        #expect(list.snapshots.map(\.name) == ["nightly"])
        #expect(list.problems.map(\.code) == [Quiesce.ExitStatus.unreachable.rawValue])
    }
}
