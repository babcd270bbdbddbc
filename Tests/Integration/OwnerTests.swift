// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

extension Lab.Plain {
    private static let namespace = "https://stillpoint.dev/owner/1"

    @Test("a guest that another host's coordinator holds is busy: 75, and how to clear what it left")
    func foreignOwner() async throws {
        let guest = try LabGuest.current
        let record = """
            <owner run='0123' command='snapshot' host='kvm2' pid='4711' since='2026-11-22T21:31:07.412Z' boot='b' start='1'/>
            """
        try await Virsh.run(
            "metadata", guest.name, Self.namespace, "--live", "--key", "stillpoint", "--set", record)
        for command in [["snapshot", guest.name, "--no-freeze"], ["commit", guest.name], ["freeze", guest.name]] {
            let refused = try await guest.stillpoint.run(command + ["--json"])
            try expectFailure(refused, 75, "snapshot by process 4711 on kvm2", isJSON: true)
            #expect(refused.errors.contains("virsh metadata \(guest.name) \(Self.namespace) --remove --live"))
        }
        #expect(try await guest.stillpoint("status", guest.name).output.contains("4711 on kvm2"))
        // As the hint says it.
        try await Virsh.run("metadata", guest.name, Self.namespace, "--remove", "--live")
        #expect(try await guest.stillpoint("snapshot", guest.name, "--no-freeze").exit == 0)
        #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
    }
}
