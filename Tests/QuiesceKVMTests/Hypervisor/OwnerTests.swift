// SPDX-License-Identifier: Apache-2.0

import Libvirt
import Testing

@testable import Quiesce
@testable import QuiesceKVM

/// On libvirt's own test driver, whose one guest all connections of this process share.
@Suite("a guest's owner record keeps the coordinators of other hosts away", .serialized)
struct OwnerTests {
    let guest: LibvirtGuest
    let ours = OwnerRecord(.random(), "snapshot", at: .cut)

    init() async throws {
        let connection = try Connection(uri: "test:///default")
        guest = LibvirtGuest(
            connection, try connection.domain(named: "test"), uri: "test:///default", on: BlockingLane(label: "owner"))
        try await write(nil)
    }

    private func write(_ element: String?) async throws {
        try await guest.run("write") { domain throws(LibvirtError) in
            try domain.setMetadata(element, namespace: OwnerRecord.namespace, prefix: "s", .live)
        }
    }

    private func claim(_ record: OwnerRecord, interruption: Interruption = Interruption()) async throws {
        try await guest.claim(record, waiting: .zero, time: SystemTime(), interruption: interruption)
    }

    private func record(host: String? = nil, boot: String? = nil, start: String? = nil) throws -> String {
        var text = ours.xml
        for (name, value) in [("host", host), ("boot", boot), ("start", start)] {
            guard let value else { continue }
            text = text.replacing(try Regex("\(name)=\"[^\"]*\""), with: "\(name)=\"\(value)\"")
        }
        return text
    }

    @Test("it is there while the guest is held, and gone afterwards")
    func held() async throws {
        try await claim(ours)
        #expect(try await guest.owner() == .known(ours))
        await guest.disclaim(ours)
        #expect(try await guest.owner() == nil)
    }

    @Test("another host's is respected: 75, with its words and the way to clear it")
    func foreign() async throws {
        try await write(record(host: "kvm2", boot: "b"))
        let failure = await #expect(throws: Failure.self) { try await claim(ours) }
        #expect(failure?.status == .busy)
        #expect(failure?.message.contains("snapshot by process") == true && failure?.message.contains("kvm2") == true)
        #expect(failure?.hint?.hasSuffix("virsh metadata test \(OwnerRecord.namespace) --remove --live") == true)
        await guest.disclaim(ours)
        #expect(try await guest.owner() != nil)
    }

    @Test("one of this host's own is respected while its process lives")
    func alive() async throws {
        try await claim(ours)
        await #expect(throws: Failure.self) { try await claim(OwnerRecord(.random(), "commit", at: .cut)) }
    }

    @Test("one that a process of this host left behind is taken over")
    func leftBehind() async throws {
        try await write(record(start: "1"))
        try await claim(ours)
        #expect(try await guest.owner() == .known(ours))
    }

    @Test("one that is not understood is respected too", arguments: ["<owner/>", "<owner run='1'/>", "<x>y</x>"])
    func unreadable(text: String) async throws {
        try await write(text)
        let failure = await #expect(throws: Failure.self) { try await claim(ours) }
        #expect(failure?.message.contains("not understood") == true)
    }

    @Test("whoever waits for it is let in when it goes, and let go when interrupted")
    func waiting() async throws {
        try await write(record(host: "kvm2"))
        let interruption = Interruption()
        interruption.ask(.interrupted)
        let failure = await #expect(throws: Failure.self) {
            try await guest.claim(ours, waiting: .seconds(60), time: SystemTime(), interruption: interruption)
        }
        #expect(failure?.status == .interrupted)
    }

    @Test("what it says of its owner is fit for a terminal")
    func hostile() throws {
        let text = try record(host: "kvm&#x9b;2&#x202e;")
        #expect(OwnerRecord(xml: text)?.description.contains("\u{9b}") == false)
    }
}
