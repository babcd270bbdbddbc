// SPDX-License-Identifier: Apache-2.0

import CLibvirt
import Glibc

extension Domain {
    /// Sends one command to the QEMU guest agent and gives its reply, both JSON text (`virDomainQemuAgentCommand`).
    ///
    /// libvirt lets one agent call at a time through to a guest. The call takes up to 30 s to get its turn and 5 s to
    /// synchronise with the agent before the timeout begins. After a timeout the command may still be carried out. It
    /// taints the domain `custom-ga-command` and needs the permission `domain:write`.
    ///
    /// The reply is at most 4 MiB and comes from the guest: do not trust it. Only its UTF-8 has been checked.
    /// - Parameters:
    ///   - command: `{"execute":"guest-ping"}`.
    ///   - timeoutSeconds: how long to wait for the reply. Less than 1 is taken as 1, so that libvirt's "wait for
    ///     ever" (-2) and "send and do not listen" (0) cannot be asked for.
    /// - Throws: `agentUnresponsive`, `agentUnsynced` or, from libvirt 11.2, `agentCommandTimeout` when no reply came;
    ///   `internalError` or, from 11.2, `agentCommandFailed` when the reply is an error.
    public func agentCommand(_ command: String, timeoutSeconds: Int) throws(LibvirtError) -> String {
        let timeout = CInt(clamping: max(1, timeoutSeconds))
        return try text("virDomainQemuAgentCommand") { virDomainQemuAgentCommand(handle, command, timeout, 0) }
    }

    /// How the agent took a command of which only that matters.
    public enum AgentAnswer: Sendable, Hashable {
        /// Carried out; `isZero` where what it counts was none.
        case done(isZero: Bool)
        /// No reply came, or one that says no; libvirt's code for it.
        case failed(LibvirtError.Code, isOfConnection: Bool)
    }

    /// As `agentCommand`, for a caller that must not parse what a guest writes: the reply is known by its first bytes,
    /// and beyond libvirt's own nothing is allocated.
    public func agentAnswer(to command: StaticString, timeoutSeconds: Int32) -> AgentAnswer {
        let reply = command.withUTF8Buffer { bytes in
            bytes.withMemoryRebound(to: CChar.self) {
                virDomainQemuAgentCommand(handle, $0.baseAddress, max(1, timeoutSeconds), 0)
            }
        }
        guard let reply else {
            let error = LibvirtError.lastCode()
            return .failed(error.code, isOfConnection: error.isOfConnection)
        }
        defer { free(reply) }
        guard strncmp(reply, "{\"return\":", 10) == 0 else { return .failed(.agentUnresponsive, isOfConnection: false) }
        return .done(isZero: strncmp(reply, "{\"return\":0}", 12) == 0)
    }

    /// Freezes all freezable filesystems, or those mounted at `mountpoints`, and gives their number
    /// (`virDomainFSFreeze`).
    ///
    /// It waits for the agent **without a timeout**. Where a guest's life depends on it, use `agentCommand`.
    public func fsFreeze(_ mountpoints: [String] = []) throws(LibvirtError) -> Int {
        let copies = mountpoints.map { strdup($0) }
        defer { copies.forEach { free($0) } }
        var paths = copies.map { UnsafePointer($0) }
        return Int(
            try checked("virDomainFSFreeze") {
                virDomainFSFreeze(handle, &paths, CUnsignedInt(clamping: paths.count), 0)
            })
    }

    /// Thaws every frozen filesystem and gives their number (`virDomainFSThaw`), also without a timeout.
    public func fsThaw() throws(LibvirtError) -> Int {
        Int(try checked("virDomainFSThaw") { virDomainFSThaw(handle, nil, 0, 0) })
    }
}
