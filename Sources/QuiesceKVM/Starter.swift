// SPDX-License-Identifier: Apache-2.0

import Glibc
public import Quiesce

extension RunReport.Starter {
    /// Whoever runs this process; behind sudo, whoever called it.
    public static var current: RunReport.Starter {
        let uid = getuid()
        let name = getenv("SUDO_USER").map { String(cString: $0) }
        let own = getpwuid(uid).flatMap { $0.pointee.pw_name.map { String(cString: $0) } }
        return RunReport.Starter(uid: Int(uid), user: name ?? own ?? "\(uid)")
    }
}
