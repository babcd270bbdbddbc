// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Libvirt
import Quiesce

/// One domain on one connection, with the lane that its blocking calls take.
struct LibvirtGuest: Sendable {
    let connection: Connection
    let domain: Domain
    let uri: String
    private let lane: BlockingLane

    init(_ connection: Connection, _ domain: Domain, uri: String, on lane: BlockingLane) {
        self.connection = connection
        self.domain = domain
        self.uri = uri
        self.lane = lane
    }

    /// - Parameter reference: a name, id or UUID, as virsh takes it.
    static func open(_ uri: String, _ reference: String, lane label: String) async throws(Failure) -> LibvirtGuest {
        let lane = BlockingLane(label: label)
        let opened = await lane.run { () -> Result<(Connection, Domain), Failure> in
            do throws(LibvirtError) {
                #if FAILPOINTS
                if Failpoint.pass("libvirt.open", .before) { throw .injected("failpoint before libvirt.open") }
                #endif
                let connection = try Connection(uri: uri)
                try connection.setKeepAlive(interval: 5, count: 5)
                return .success((connection, try connection.domain(reference)))
            } catch {
                return .failure(Failure(error, doing: "open \(uri)"))
            }
        }
        let (connection, domain) = try opened.get()
        return LibvirtGuest(connection, domain, uri: uri, on: lane)
    }

    /// A connection, and so a socket and a daemon worker, of its own.
    func duplicated(lane label: String) async throws(Failure) -> LibvirtGuest {
        try await Self.open(uri, domain.uuid, lane: label)
    }

    func run<Value: Sendable>(
        _ what: String, _ body: @escaping @Sendable (Domain) throws(LibvirtError) -> Value
    ) async throws(Failure) -> Value {
        do throws(LibvirtError) {
            return try await call(body)
        } catch {
            throw Failure(error, doing: what)
        }
    }

    /// As ``run(_:_:)``, with libvirt's own error.
    func call<Value: Sendable>(
        _ body: @escaping @Sendable (Domain) throws(LibvirtError) -> Value
    ) async throws(LibvirtError) -> Value {
        try await lane.run { [domain] () throws(LibvirtError) in
            #if FAILPOINTS
            try Failpoint.around(call: "libvirt.call", LibvirtError.injected) { () throws(LibvirtError) in
                try body(domain)
            }
            #else
            try body(domain)
            #endif
        }
    }
}

extension Failure {
    init(_ error: LibvirtError, doing what: String) {
        switch error.code {
        case .noDomain, .noDomainSnapshot:
            self.init(.noSuchThing, error.message.printable(limit: 1024), hint: "virsh list --all")
        case .authFailed, .authUnavailable, .authCancelled,
            .systemError where error.isOfConnection && error.message.hasSuffix("Permission denied"):
            self.init(
                .notPermitted, "not allowed to \(what): \(error.description)",
                hint: "run it as root or as a member of the group libvirt")
        case _ where error.isOfConnection:
            self.init(
                .unreachable, "cannot \(what): \(error.description)", hint: "is libvirtd (or virtqemud) running?")
        case .operationDenied, .accessDenied:
            self.init(.notPermitted, "not allowed to \(what): \(error.description)")
        case .resourceBusy, .operationTimeout, .blockCopyActive:
            self.init(.busy, "cannot \(what) now: \(error.description)")
        default:
            self.init(.internalError, "cannot \(what): \(error.description)")
        }
    }
}
