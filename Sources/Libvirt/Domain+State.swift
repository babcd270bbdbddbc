// SPDX-License-Identifier: Apache-2.0

import CLibvirt

extension Domain {
    /// What a domain does (`virDomainState`).
    public enum State: Int32, Sendable {
        /// `VIR_DOMAIN_NOSTATE`, and what a newer libvirt may add.
        case noState = 0
        case running = 1
        /// Blocked on a resource. QEMU does not use it.
        case blocked = 2
        case paused = 3
        /// On its way down.
        case shutdown = 4
        case shutoff = 5
        case crashed = 6
        /// The guest put itself to sleep.
        case pmSuspended = 7
    }

    /// The state, and why, as a number of the C enumeration for that state: `virDomainPausedReason` and so on
    /// (`virDomainGetState`).
    public func state() throws(LibvirtError) -> (state: State, reason: Int) {
        var state: CInt = 0
        var reason: CInt = 0
        try checked("virDomainGetState") { virDomainGetState(handle, &state, &reason, 0) }
        return (State(rawValue: state) ?? .noState, Int(reason))
    }

    /// Starts it (`virDomainCreateWithFlags`), with its processors stopped if `paused`, with UEFI variables as the
    /// firmware's maker ships them if `resetNVRAM`.
    public func create(paused: Bool = false, resetNVRAM: Bool = false) throws(LibvirtError) {
        let flags =
            (paused ? VIR_DOMAIN_START_PAUSED.rawValue : 0) | (resetNVRAM ? VIR_DOMAIN_START_RESET_NVRAM.rawValue : 0)
        try checked("virDomainCreateWithFlags") { virDomainCreateWithFlags(handle, flags) }
    }

    /// Asks the guest to shut down and does not wait for it (`virDomainShutdown`).
    public func shutdown() throws(LibvirtError) {
        try checked("virDomainShutdown") { virDomainShutdown(handle) }
    }

    /// Takes the power away (`virDomainDestroy`).
    public func destroy() throws(LibvirtError) {
        try checked("virDomainDestroy") { virDomainDestroy(handle) }
    }

    /// Lets a paused guest go on (`virDomainResume`).
    public func resume() throws(LibvirtError) {
        try checked("virDomainResume") { virDomainResume(handle) }
    }

    /// Forgets its definition (`virDomainUndefine`).
    public func undefine() throws(LibvirtError) {
        try checked("virDomainUndefine") { virDomainUndefine(handle) }
    }
}
