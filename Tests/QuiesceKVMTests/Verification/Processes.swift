// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Whether a process of this host has `argument` among its arguments.
func runs(_ argument: String) -> Bool {
    let processes = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return processes.contains { entry in
        guard entry.allSatisfy(\.isNumber), let line = FileManager.default.contents(atPath: "/proc/\(entry)/cmdline")
        else { return false }
        return line.split(separator: 0).contains { String(decoding: $0, as: UTF8.self) == argument }
    }
}
