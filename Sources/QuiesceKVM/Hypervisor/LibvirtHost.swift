// SPDX-License-Identifier: Apache-2.0

import Libvirt
import Quiesce

/// A connection for a domain that is not there yet, with the lane that its blocking calls take.
struct LibvirtHost: Sendable {
    private let connection: Connection
    private let lane: BlockingLane

    static func open(_ uri: String) async throws(Failure) -> LibvirtHost {
        let lane = BlockingLane(label: "host")
        do throws(LibvirtError) {
            return LibvirtHost(
                connection: try await lane.run { () throws(LibvirtError) in try Connection(uri: uri) }, lane: lane)
        } catch {
            throw Failure(error, doing: "open \(uri)")
        }
    }

    /// The names of the domains that have this name or this UUID.
    func domains(named name: String, uuid: String) async throws(Failure) -> (byName: String?, byUUID: String?) {
        try await run("look for \(name)") { connection throws(LibvirtError) in
            let domains = try connection.domains()
            return (domains.first { $0.name == name }?.name, domains.first { $0.uuid == uuid }?.name)
        }
    }

    func define(_ xml: String, _ name: String) async throws(Failure) {
        try await run("define \(name)") { connection throws(LibvirtError) in _ = try connection.define(xml: xml) }
    }

    private func run<Value: Sendable>(
        _ what: String, _ body: @escaping @Sendable (Connection) throws(LibvirtError) -> Value
    ) async throws(Failure) -> Value {
        do throws(LibvirtError) {
            return try await lane.run { [connection] () throws(LibvirtError) in try body(connection) }
        } catch {
            throw Failure(error, doing: what)
        }
    }
}
