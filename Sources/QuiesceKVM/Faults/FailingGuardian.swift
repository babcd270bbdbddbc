// SPDX-License-Identifier: Apache-2.0

import Quiesce

extension Guardian {
    var withFailpoints: any Guardian {
        #if FAILPOINTS
        FailingGuardian(port: self)
        #else
        self
        #endif
    }
}

#if FAILPOINTS
private struct FailingGuardian: Guardian {
    let port: any Guardian

    func stand() async throws(Failure) {
        try await Failpoint.around("guardian.stand", Failpoint.broken) { () async throws(Failure) in
            try await port.stand()
        }
    }

    func arm(_ limit: Duration) throws(Failure) {
        try Failpoint.around(call: "guardian.arm", Failpoint.broken) { () throws(Failure) in try port.arm(limit) }
    }

    func dismiss() {
        _ = Failpoint.pass("guardian.dismiss", .before, canFail: false)
        port.dismiss()
        _ = Failpoint.pass("guardian.dismiss", .after, canFail: false)
    }

    func lastWord() async -> String? {
        await Failpoint.around("guardian.lastWord") { await port.lastWord() }
    }
}
#endif
