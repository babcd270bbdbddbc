// SPDX-License-Identifier: Apache-2.0

import CLibvirt
import Dispatch
import Synchronization

/// A connection to a hypervisor (`virConnectPtr`), shared freely between threads and tasks.
///
/// Every call on it and on what it gives out blocks its thread until the daemon has answered, which may be never:
/// make them on a `BlockingLane`. A call that fails throws what libvirt says.
///
/// There is no close: the connection ends when it and all its domains and snapshots are gone.
public final class Connection: Sendable {
    // Safe to share: libvirt locks internally. Our one reference, dropped once, in deinit. Domains and snapshots keep
    // this object alive, so that reference is always the last.
    nonisolated(unsafe) let handle: virConnectPtr
    let streams = OpenStreams()

    /// Connects (`virConnectOpen`). `nil` is libvirt's own default: `LIBVIRT_DEFAULT_URI`, the client configuration,
    /// a probe.
    public convenience init(uri: String?) throws(LibvirtError) {
        try Library.ready.get()
        try self.init(try owned("virConnectOpen") { virConnectOpen(uri) })
    }

    /// Connects as ``init(uri:)`` does, or fails when that time is over: a daemon that hangs takes a connection, and
    /// only an open one can be kept alive. One that comes too late is closed.
    public static func open(_ uri: String, withinMilliseconds limit: Int) throws(LibvirtError) -> Connection {
        final class Answer: Sendable {
            let result = Mutex<Result<Connection, LibvirtError>?>(nil)
            let isThere = DispatchSemaphore(value: 0)
        }
        let answer = Answer()
        DispatchQueue(label: "virConnectOpen").async {
            let result = Result { () throws(LibvirtError) in try Connection(uri: uri) }
            answer.result.withLock { $0 = result }
            answer.isThere.signal()
        }
        _ = answer.isThere.wait(timeout: .now() + .milliseconds(limit))
        guard let result = answer.result.withLock({ $0 }) else {
            throw LibvirtError(code: .rpc, message: "the daemon does not answer", call: "virConnectOpen")
        }
        return try result.get()
    }

    /// Connects for reading alone (`virConnectOpenReadOnly`): what changes or asks the guest is refused,
    /// `operationDenied`.
    public convenience init(readOnly uri: String?) throws(LibvirtError) {
        try Library.ready.get()
        try self.init(try owned("virConnectOpenReadOnly") { virConnectOpenReadOnly(uri) })
    }

    private init(_ handle: virConnectPtr) throws(LibvirtError) {
        self.handle = handle
        try streams.follow(handle)
    }

    deinit {
        // The last reference says goodbye to the daemon and waits for its answer; a deinit can run anywhere.
        nonisolated(unsafe) let handle = handle
        Library.release.async { [streams] in
            streams.unfollow(handle)
            virConnectClose(handle)
        }
    }
}

extension Connection {
    /// Whether the connection is still up, as far as this side knows (`virConnectIsAlive`); with `setKeepAlive` it
    /// finds out.
    public func isAlive() throws(LibvirtError) -> Bool {
        try checked("virConnectIsAlive") { virConnectIsAlive(handle) } == 1
    }

    /// Pings the daemon and breaks the connection, failing all calls that wait on it, when `count` pings in a row stay
    /// unanswered (`virConnectSetKeepAlive`).
    /// - Parameters:
    ///   - interval: seconds between pings, at least 1.
    ///   - count: pings that may go unanswered, at least 1.
    /// - Returns: false if the other side does not know keepalive. A driver without a daemon throws `noSupport`.
    @discardableResult
    public func setKeepAlive(interval: Int, count: Int) throws(LibvirtError) -> Bool {
        try checked("virConnectSetKeepAlive") {
            virConnectSetKeepAlive(handle, CInt(clamping: max(1, interval)), CUnsignedInt(clamping: max(1, count)))
        } == 0
    }

    /// The URI as libvirt resolved it (`virConnectGetURI`).
    public func uri() throws(LibvirtError) -> String {
        try text("virConnectGetURI") { virConnectGetURI(handle) }
    }

    /// The hypervisor host's name (`virConnectGetHostname`).
    public func hostname() throws(LibvirtError) -> String {
        try text("virConnectGetHostname") { virConnectGetHostname(handle) }
    }

    /// The driver, "QEMU" or "TEST" (`virConnectGetType`).
    public func type() throws(LibvirtError) -> String {
        String(cString: try owned("virConnectGetType") { virConnectGetType(handle) })
    }

    /// The version of libvirt at the far end, "9.0.0" (`virConnectGetLibVersion`).
    public func libraryVersion() throws(LibvirtError) -> String {
        var number: CUnsignedLong = 0
        try checked("virConnectGetLibVersion") { virConnectGetLibVersion(handle, &number) }
        return Self.version(number)
    }

    /// The version of the hypervisor, "7.2.22" (`virConnectGetVersion`): of the emulator libvirt would start now, not
    /// of the one a guest runs on.
    public func hypervisorVersion() throws(LibvirtError) -> String {
        var number: CUnsignedLong = 0
        try checked("virConnectGetVersion") { virConnectGetVersion(handle, &number) }
        return Self.version(number)
    }

    /// The host's and driver's capabilities, among them the security models (`virConnectGetCapabilities`).
    public func capabilitiesXML() throws(LibvirtError) -> String {
        try text("virConnectGetCapabilities") { virConnectGetCapabilities(handle) }
    }

    // libvirt packs versions as major × 1,000,000 + minor × 1,000 + release.
    private static func version(_ number: CUnsignedLong) -> String {
        "\(number / 1_000_000).\(number / 1_000 % 1_000).\(number % 1_000)"
    }
}
