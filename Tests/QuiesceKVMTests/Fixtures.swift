// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What libvirt 9.0, QEMU 7.2 and qemu-ga 7.2 of Debian 12 answered; see `Fixtures`.
enum Fixture {
    static func text(_ name: String) throws -> String {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures")
        return try String(contentsOf: folder.appending(path: name), encoding: .utf8)
    }
}
