// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Looks up a variable of a process's environment.
typealias Environment = (String) -> String?

/// A variable of this process; nil also if it is no absolute path, as the XDG Base Directory Specification wants it.
func absolutePath(fromVariable name: String) -> String? {
    getenv(name).map { String(cString: $0) }.flatMap { $0.hasPrefix("/") ? $0 : nil }
}
