// SPDX-License-Identifier: Apache-2.0

import Libvirt
import Quiesce

extension LibvirtGuest {
    /// Writes down in the domain that it is ours. `.busy`, saying whose it is, while another's record is there; one that
    /// a process of this host left behind is taken over.
    func claim(_ record: OwnerRecord, waiting wait: Duration, time: any Time, interruption: Interruption)
        async throws(Failure)
    {
        let end = time.now + wait
        while let other = try await owner(), !other.isOver {
            guard time.now < end else {
                let clear = "virsh metadata \(domain.name) \(OwnerRecord.namespace) --remove --live"
                throw Failure(
                    .busy, "\(domain.name) is busy: \(other.description)", hint: "if that has ended:   \(clear)")
            }
            await time.sleep(until: min(end, time.now + .milliseconds(500)))
            if let status = interruption.status {
                throw Failure(status, "\(domain.name): interrupted while it was somebody else's")
            }
        }
        try await write(record.xml, "claim \(domain.name)")
    }

    /// Takes our record away, and no other. That it cannot be done is no reason to fail: this host takes it over.
    func disclaim(_ record: OwnerRecord) async {
        guard let owner = try? await owner(), owner == .known(record) else { return }
        try? await write(nil, "release \(domain.name)")
    }

    /// What runs is saved with each change of its metadata: the owner's record is written as it is.
    func saveStatus() async throws(Failure) {
        guard case .known(let record) = try await owner() else { return }
        try await write(record.xml, "have libvirt save the state of \(domain.name)")
    }

    /// Nil if nobody has written one.
    func owner() async throws(Failure) -> Owner? {
        try await run("look whose \(domain.name) is") { domain throws(LibvirtError) in
            try domain.isActive() ? domain.metadata(namespace: OwnerRecord.namespace, .live) : nil
        }.map(Owner.init)
    }

    enum Owner: Equatable {
        case known(OwnerRecord)
        case unreadable

        init(xml: String) { self = OwnerRecord(xml: xml).map { .known($0) } ?? .unreadable }

        var isOver: Bool { if case .known(let record) = self { record.hasEnded } else { false } }

        var description: String {
            switch self {
            case .known(let record): record.description
            case .unreadable: "its owner record is not understood"
            }
        }
    }

    /// Live only: it must not outlast the guest's process. A guest without one is protected by the lock alone.
    private func write(_ element: String?, _ what: String) async throws(Failure) {
        try await run(what) { domain throws(LibvirtError) in
            guard try domain.isActive() else { return }
            try domain.setMetadata(
                element, namespace: OwnerRecord.namespace, prefix: OwnerRecord.prefix, .live)
        }
    }
}
