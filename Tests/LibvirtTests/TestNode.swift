// SPDX-License-Identifier: Apache-2.0

import Foundation
import Libvirt

/// A host of libvirt's own test driver that lives in this process and belongs to one test alone (`test:///default` is
/// shared by all its connections).
enum TestNode {
    static let uuid = "2f0e1c8a-6a0b-4d5e-9b1c-0a1b2c3d4e5f"

    /// Connected, with one running domain: `guest`.
    static func connect(readOnly: Bool = false) throws -> Connection {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("node-\(UUID().uuidString).xml")
        try Data("<node>\(domainXML(name: "guest", uuid: uuid))</node>".utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let uri = "test://\(file.path)"
        return readOnly ? try Connection(readOnly: uri) : try Connection(uri: uri)
    }

    static func guest() throws -> Domain {
        try connect().domain(named: "guest")
    }

    static func domainXML(name: String, uuid: String = UUID().uuidString) -> String {
        """
        <domain type='test'>
          <name>\(name)</name>
          <uuid>\(uuid)</uuid>
          <memory unit='MiB'>8</memory>
          <os><type>hvm</type></os>
        </domain>
        """
    }
}
