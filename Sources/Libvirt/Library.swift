// SPDX-License-Identifier: Apache-2.0

import CLibvirt
import Dispatch
import Glibc

/// What libvirt needs once per process, before its first connection. `Connection` sees to it by itself.
///
/// The event loop always runs, on a thread of its own, also in a process that waits for no event: a client that
/// registered an event implementation has promised the daemon to answer its keepalive, and is disconnected if nobody
/// turns the loop.
enum Library {
    /// Reading it prepares libvirt; every later reading gives the outcome of the first.
    static let ready: Result<Void, LibvirtError> = prepare()

    /// Where the last reference to a connection and event registrations are given up: both wait for the daemon, and
    /// whoever drops them must not.
    static let release = DispatchQueue(label: "libvirt.release")

    private static func prepare() -> Result<Void, LibvirtError> {
        // Without a function of ours libvirt prints every error to stderr itself.
        virSetErrorFunc(nil) { _, _ in }
        do throws(LibvirtError) {
            _ = try checked("virEventRegisterDefaultImpl") { virEventRegisterDefaultImpl() }
        } catch {
            return .failure(error)
        }
        return startEventLoop()
    }

    private static func startEventLoop() -> Result<Void, LibvirtError> {
        let turn: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { _ in
            while virEventRunDefaultImpl() >= 0 {}
            return nil
        }
        var thread = pthread_t()
        let status = pthread_create(&thread, nil, turn, nil)
        guard status == 0 else {
            return .failure(
                LibvirtError(code: .systemError, message: String(cString: strerror(status)), call: "pthread_create"))
        }
        pthread_detach(thread)
        return .success(())
    }
}
