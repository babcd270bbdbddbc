// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Libvirt

@Suite("Libvirt error")
struct LibvirtErrorTests {
    @Test("a guest's words cannot break the line, colour it or turn it round")
    func description() {
        let error = LibvirtError(
            code: .internalError, message: "agent: \u{1B}[31mred\r\nnext\u{202E}\u{2028}\u{9B}x",
            call: "virDomainFSThaw")
        #expect(error.description == "agent:  [31mred  next   x (virDomainFSThaw, libvirt error 1)")
    }

    @Test("a failed call without an error still has a text")
    func noReason() throws {
        let guest = try TestNode.guest()
        let error = try #require(throws: LibvirtError.self) {
            try checked("virNothing") {
                // A call that succeeds clears what another test left on this thread.
                _ = try? guest.isActive()
                return -1
            }
        }
        #expect(error.code == .ok)
        #expect(error.description == "failed and gave no reason (virNothing, libvirt error 0)")
    }

    @Test("text that is not UTF-8 is refused, not repaired")
    func invalidText() throws {
        let error = try #require(throws: LibvirtError.self) {
            _ = try text("virDomainQemuAgentCommand") { strdup([0x22, -1, 0x22, 0]) }
        }
        #expect(error.code == .internalError)
        #expect(error.call == "virDomainQemuAgentCommand")
    }
}
