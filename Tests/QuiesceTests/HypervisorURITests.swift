// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Testing

@Suite("The hypervisor's URI")
struct HypervisorURITests {
    @Test("on this host", arguments: ["qemu:///system", "qemu:///session", "qemu+unix:///system?socket=/run/sock"])
    func local(_ text: String) throws {
        let uri = try HypervisorURI(text)
        #expect(!uri.isRemote)
        #expect(uri.description == text)
        try uri.demandLocal(for: "snapshot")
    }

    @Test(
        "on another host",
        arguments: [
            "qemu+ssh://kvm1/system", "qemu+ssh://root@kvm1/system?keyfile=/k", "qemu+tls://kvm1/system",
            "qemu://kvm1/system", "qemu+ssh://root@kvm1:2222/system",
        ])
    func remote(_ text: String) throws {
        let uri = try HypervisorURI(text)
        #expect(uri.host == "kvm1")
        let failure = try #require(throws: Failure.self) { try uri.demandLocal(for: "snapshot") }
        #expect(failure.status == .usage)
        #expect(failure.hint?.hasPrefix("ssh kvm1 stillpoint") == true)
    }

    @Test(
        "what is no QEMU, not encrypted or no URI is a usage error",
        arguments: [
            "", "system", "qemu", "xen:///system", "test:///default", "qemu+tcp://kvm1/system", "qemu+ext:///system",
        ])
    func refused(_ text: String) throws {
        let failure = try #require(throws: Failure.self) { try HypervisorURI(text) }
        #expect(failure.status == .usage)
    }
}
