// SPDX-License-Identifier: Apache-2.0

import CLibvirt
import Dispatch

/// The far end of a stream, as the C callback sees it: an opaque pointer that libvirt frees after the last call.
final class EventSink<Event: Sendable>: Sendable {
    private let continuation: AsyncStream<Event>.Continuation

    init(_ continuation: AsyncStream<Event>.Continuation) {
        self.continuation = continuation
    }

    /// Runs on the event loop's thread and must not wait: with it all connections' keepalive would stop.
    static func yield(_ event: Event, to sink: UnsafeMutableRawPointer?) {
        guard let sink else { return }
        Unmanaged<EventSink<Event>>.fromOpaque(sink).takeUnretainedValue().continuation.yield(event)
    }
}

extension Domain {
    /// A stream of this domain's events (`virConnectDomainEventRegisterAny`), as `lifecycleEvents` promises.
    /// - Parameter callback: must be the kind that belongs to `id`, and must take its opaque argument for an
    ///   `EventSink<Event>`.
    func events<Event: Sendable>(
        _ id: virDomainEventID, _ callback: virConnectDomainEventGenericCallback
    ) throws(LibvirtError) -> AsyncStream<Event> {
        let (stream, continuation) = AsyncStream.makeStream(of: Event.self)
        let sink = Unmanaged.passRetained(EventSink(continuation))
        let registration: CInt
        do throws(LibvirtError) {
            registration = try checked("virConnectDomainEventRegisterAny") {
                virConnectDomainEventRegisterAny(
                    connection.handle, handle, CInt(id.rawValue), callback, sink.toOpaque()
                ) {
                    if let sink = $0 { Unmanaged<AnyObject>.fromOpaque(sink).release() }
                }
            }
        } catch {
            sink.release()
            throw error
        }
        continuation.onTermination = { [connection] _ in
            connection.streams.remove(registration)
            Library.release.async { _ = virConnectDomainEventDeregisterAny(connection.handle, registration) }
        }
        connection.streams.add(registration) { continuation.finish() }
        return stream
    }
}
