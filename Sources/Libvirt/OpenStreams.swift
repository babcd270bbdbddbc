// SPDX-License-Identifier: Apache-2.0

import CLibvirt
import Synchronization

/// The event streams of one connection, which end when it breaks: whoever waits for an event would wait for ever.
final class OpenStreams: Sendable {
    private struct State {
        var isBroken = false
        /// How to end each stream, by its registration.
        var ends: [CInt: @Sendable () -> Void] = [:]
    }

    private let state = Mutex(State())

    /// Remembers a stream, or ends it at once if the connection broke while it was being registered.
    func add(_ registration: CInt, end: @escaping @Sendable () -> Void) {
        let isBroken = state.withLock { state in
            if !state.isBroken { state.ends[registration] = end }
            return state.isBroken
        }
        if isBroken { end() }
    }

    func remove(_ registration: CInt) {
        state.withLock { _ = $0.ends.removeValue(forKey: registration) }
    }

    func endAll() {
        let ends = state.withLock { state in
            state.isBroken = true
            defer { state.ends = [:] }
            return Array(state.ends.values)
        }
        // Without the lock: ending a stream removes it here.
        for end in ends { end() }
    }

    /// Has libvirt call `endAll` when the connection breaks. Drivers without a daemon never do.
    func follow(_ connection: virConnectPtr) throws(LibvirtError) {
        let opaque = Unmanaged.passUnretained(self).toOpaque()
        try checked("virConnectRegisterCloseCallback") {
            virConnectRegisterCloseCallback(connection, Self.broke, opaque, nil)
        }
    }

    /// After it libvirt does not call any more, and no longer holds the connection for doing so.
    func unfollow(_ connection: virConnectPtr) {
        virConnectUnregisterCloseCallback(connection, Self.broke)
    }

    private static let broke: virConnectCloseFunc = { _, _, opaque in
        guard let opaque else { return }
        Unmanaged<OpenStreams>.fromOpaque(opaque).takeUnretainedValue().endAll()
    }
}
