// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Libvirt
import Quiesce
import Synchronization

/// One domain on one connection, with the lane that its blocking calls take. A call that loses its connection fails, and the
/// next one opens another, since a daemon that is started again knows its guests.
struct LibvirtGuest: Sendable {
    let uri: String
    private let lane: BlockingLane
    private let line: Line

    init(_ connection: Connection, _ domain: Domain, uri: String, on lane: BlockingLane) {
        line = Line(connection, domain)
        self.uri = uri
        self.lane = lane
    }

    var connection: Connection { line.connection }
    var domain: Domain { line.domain }

    /// - Parameter reference: a name, id or UUID, as virsh takes it.
    static func open(_ uri: String, _ reference: String, lane label: String) async throws(Failure) -> LibvirtGuest {
        let lane = BlockingLane(label: label)
        let opened = await lane.run { () -> Result<(Connection, Domain), Failure> in
            do throws(LibvirtError) {
                #if FAILPOINTS
                if Failpoint.pass("libvirt.open", .before) { throw .injected("failpoint before libvirt.open") }
                #endif
                return .success(try keptAlive(try Connection(uri: uri), reference))
            } catch {
                return .failure(Failure(error, doing: "open \(uri)"))
            }
        }
        let (connection, domain) = try opened.get()
        return LibvirtGuest(connection, domain, uri: uri, on: lane)
    }

    /// Blocks.
    fileprivate static func keptAlive(
        _ connection: Connection, _ reference: String
    ) throws(LibvirtError) -> (Connection, Domain) {
        try connection.setKeepAlive(interval: 5, count: 5)
        return (connection, try connection.domain(reference))
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
        try await lane.run { [line, uri] () throws(LibvirtError) in
            let domain = try line.whole(uri)
            #if FAILPOINTS
            return try Failpoint.around(call: "libvirt.call", LibvirtError.injected) { () throws(LibvirtError) in
                try body(domain)
            }
            #else
            return try body(domain)
            #endif
        }
    }
}

/// A domain and the connection that it is reached by at this moment.
private final class Line: Sendable {
    private let end: Mutex<(connection: Connection, domain: Domain)>

    init(_ connection: Connection, _ domain: Domain) { end = Mutex((connection, domain)) }

    var connection: Connection { end.withLock { $0.connection } }
    var domain: Domain { end.withLock { $0.domain } }

    /// Opened anew if it is down. Blocks then.
    func whole(_ uri: String) throws(LibvirtError) -> Domain {
        let (connection, domain) = end.withLock { $0 }
        guard try !connection.isAlive() else { return domain }
        // A guest may be frozen, and one who asks for a thaw has others to ask.
        let opened = try LibvirtGuest.keptAlive(.open(uri, withinMilliseconds: 30_000), domain.uuid)
        end.withLock { $0 = opened }
        return opened.1
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
