// SPDX-License-Identifier: Apache-2.0

#if FAILPOINTS
import CLibvirt
import Glibc

extension LibvirtError {
    /// As libvirt would say it: `STILLPOINT_FAILPOINT_ERROR` is `lost` (the connection), `timeout` or, without it,
    /// `refused`.
    public static func injected(_ why: String) -> LibvirtError {
        switch getenv("STILLPOINT_FAILPOINT_ERROR").map({ String(cString: $0) }) {
        case "lost":
            LibvirtError(
                code: .internalError, domain: Int(VIR_FROM_RPC.rawValue), message: "client socket is closed: \(why)",
                call: "failpoint")
        case "timeout":
            LibvirtError(
                code: .agentUnresponsive, message: "Guest agent is not responding: \(why)", call: "failpoint")
        default: LibvirtError(code: .operationFailed, message: why, call: "failpoint")
        }
    }
}
#endif
