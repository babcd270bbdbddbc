// SPDX-License-Identifier: Apache-2.0

import CLibvirt

extension Domain {
    /// A change in the domain's life (`virDomainEventType`).
    public struct LifecycleEvent: Sendable, Equatable {
        public let kind: Kind
        /// A number of the C enumeration for that kind: `virDomainEventStoppedDetailType` and so on.
        public let detail: Int

        public enum Kind: Int32, Sendable {
            case defined = 0
            case undefined = 1
            case started = 2
            case suspended = 3
            case resumed = 4
            case stopped = 5
            case shutdown = 6
            case pmSuspended = 7
            case crashed = 8
        }
    }

    /// The guest agent opened or closed its channel (`virConnectDomainEventAgentLifecycleState`).
    public struct AgentEvent: Sendable, Equatable {
        public let state: State
        public let reason: Reason

        public enum State: Int32, Sendable {
            case connected = 1
            case disconnected = 2
        }

        public enum Reason: Int32, Sendable {
            case unknown = 0
            case domainStarted = 1
            /// The guest opened or closed the channel.
            case channel = 2
        }
    }

    /// A block job changed (`virConnectDomainEventBlockJobCallback`, version 2).
    public struct BlockJobEvent: Sendable, Equatable {
        /// The disk's target, "vda".
        public let disk: String
        public let kind: BlockJobKind
        public let status: Status

        /// `virConnectDomainEventBlockJobStatus`
        public enum Status: Int32, Sendable {
            case completed = 0
            case failed = 1
            case canceled = 2
            /// An active commit or copy can be pivoted now.
            case ready = 3
        }
    }
}

extension Domain {
    /// The domain's starts, stops and so on from now on (`VIR_DOMAIN_EVENT_ID_LIFECYCLE`).
    ///
    /// The daemon has been told before this returns, and every event is kept until it is read. The stream ends when the
    /// connection breaks, which takes `setKeepAlive` to be noticed where the daemon hangs. Drop it, or cancel its
    /// reader, to end it sooner.
    public func lifecycleEvents() throws(LibvirtError) -> AsyncStream<LifecycleEvent> {
        let callback: virConnectDomainEventCallback = { _, _, kind, detail, sink in
            if let kind = LifecycleEvent.Kind(rawValue: kind) {
                EventSink.yield(LifecycleEvent(kind: kind, detail: Int(detail)), to: sink)
            }
            return 0
        }
        return try events(
            VIR_DOMAIN_EVENT_ID_LIFECYCLE, unsafeBitCast(callback, to: virConnectDomainEventGenericCallback.self))
    }

    /// The guest agent's coming and going (`VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE`), a stream like `lifecycleEvents`.
    public func agentEvents() throws(LibvirtError) -> AsyncStream<AgentEvent> {
        let callback: virConnectDomainEventAgentLifecycleCallback = { _, _, state, reason, sink in
            guard let state = AgentEvent.State(rawValue: state) else { return }
            EventSink.yield(AgentEvent(state: state, reason: AgentEvent.Reason(rawValue: reason) ?? .unknown), to: sink)
        }
        return try events(
            VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, unsafeBitCast(callback, to: virConnectDomainEventGenericCallback.self))
    }

    /// The block jobs' ends and readiness (`VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2`), a stream like `lifecycleEvents`.
    public func blockJobEvents() throws(LibvirtError) -> AsyncStream<BlockJobEvent> {
        let callback: virConnectDomainEventBlockJobCallback = { _, _, disk, kind, status, sink in
            guard let disk, let status = BlockJobEvent.Status(rawValue: status) else { return }
            let kind = BlockJobKind(rawValue: kind) ?? .unknown
            EventSink.yield(BlockJobEvent(disk: String(cString: disk), kind: kind, status: status), to: sink)
        }
        return try events(
            VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, unsafeBitCast(callback, to: virConnectDomainEventGenericCallback.self))
    }
}
