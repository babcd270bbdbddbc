// SPDX-License-Identifier: Apache-2.0

import CLibvirt

extension LibvirtError {
    /// A number of libvirt's `virErrorNumber`. The set is open: newer libraries report codes that have no name here.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: Int32
        public init(rawValue: Int32) { self.rawValue = rawValue }
        private init(_ number: virErrorNumber) { rawValue = Int32(number.rawValue) }

        /// `VIR_ERR_OK`: the call failed without leaving an error.
        public static let ok = Code(VIR_ERR_OK)
        /// `VIR_ERR_INTERNAL_ERROR`: among much else an error the guest agent or QEMU itself reported.
        public static let internalError = Code(VIR_ERR_INTERNAL_ERROR)
        /// `VIR_ERR_NO_SUPPORT`: the driver does not have this function.
        public static let noSupport = Code(VIR_ERR_NO_SUPPORT)
        /// `VIR_ERR_NO_CONNECT`: the URI names no driver or hypervisor that can be reached.
        public static let noConnect = Code(VIR_ERR_NO_CONNECT)
        /// `VIR_ERR_INVALID_CONN`
        public static let invalidConnection = Code(VIR_ERR_INVALID_CONN)
        /// `VIR_ERR_INVALID_ARG`
        public static let invalidArgument = Code(VIR_ERR_INVALID_ARG)
        /// `VIR_ERR_OPERATION_FAILED`
        public static let operationFailed = Code(VIR_ERR_OPERATION_FAILED)
        /// `VIR_ERR_XML_ERROR`
        public static let xmlError = Code(VIR_ERR_XML_ERROR)
        /// `VIR_ERR_OPERATION_DENIED`: forbidden on a read-only connection.
        public static let operationDenied = Code(VIR_ERR_OPERATION_DENIED)
        /// `VIR_ERR_SYSTEM_ERROR`: a system call failed, also the connect to the daemon's socket.
        public static let systemError = Code(VIR_ERR_SYSTEM_ERROR)
        /// `VIR_ERR_RPC`: the conversation with the daemon broke down.
        public static let rpc = Code(VIR_ERR_RPC)
        /// `VIR_ERR_NO_DOMAIN`
        public static let noDomain = Code(VIR_ERR_NO_DOMAIN)
        /// `VIR_ERR_AUTH_FAILED`
        public static let authFailed = Code(VIR_ERR_AUTH_FAILED)
        /// `VIR_ERR_OPERATION_INVALID`: not possible in the domain's present state.
        public static let operationInvalid = Code(VIR_ERR_OPERATION_INVALID)
        /// `VIR_ERR_CONFIG_UNSUPPORTED`
        public static let configUnsupported = Code(VIR_ERR_CONFIG_UNSUPPORTED)
        /// `VIR_ERR_NO_STORAGE_POOL`
        public static let noStoragePool = Code(VIR_ERR_NO_STORAGE_POOL)
        /// `VIR_ERR_NO_STORAGE_VOL`
        public static let noStorageVolume = Code(VIR_ERR_NO_STORAGE_VOL)
        /// `VIR_ERR_OPERATION_TIMEOUT`: among others, another job held the domain for 30 s.
        public static let operationTimeout = Code(VIR_ERR_OPERATION_TIMEOUT)
        /// `VIR_ERR_NO_DOMAIN_SNAPSHOT`
        public static let noDomainSnapshot = Code(VIR_ERR_NO_DOMAIN_SNAPSHOT)
        /// `VIR_ERR_ARGUMENT_UNSUPPORTED`: a flag or argument this driver does not take.
        public static let argumentUnsupported = Code(VIR_ERR_ARGUMENT_UNSUPPORTED)
        /// `VIR_ERR_OPERATION_ABORTED`
        public static let operationAborted = Code(VIR_ERR_OPERATION_ABORTED)
        /// `VIR_ERR_AUTH_CANCELLED`
        public static let authCancelled = Code(VIR_ERR_AUTH_CANCELLED)
        /// `VIR_ERR_NO_DOMAIN_METADATA`
        public static let noDomainMetadata = Code(VIR_ERR_NO_DOMAIN_METADATA)
        /// `VIR_ERR_BLOCK_COPY_ACTIVE`: a block job is in the way.
        public static let blockCopyActive = Code(VIR_ERR_BLOCK_COPY_ACTIVE)
        /// `VIR_ERR_OPERATION_UNSUPPORTED`: not with this hypervisor or this configuration.
        public static let operationUnsupported = Code(VIR_ERR_OPERATION_UNSUPPORTED)
        /// `VIR_ERR_AGENT_UNRESPONSIVE`: no agent, or no answer in time; what was asked may still be done later.
        public static let agentUnresponsive = Code(VIR_ERR_AGENT_UNRESPONSIVE)
        /// `VIR_ERR_RESOURCE_BUSY`
        public static let resourceBusy = Code(VIR_ERR_RESOURCE_BUSY)
        /// `VIR_ERR_ACCESS_DENIED`: polkit or an access driver refused.
        public static let accessDenied = Code(VIR_ERR_ACCESS_DENIED)
        /// `VIR_ERR_AUTH_UNAVAILABLE`: no polkit agent to ask.
        public static let authUnavailable = Code(VIR_ERR_AUTH_UNAVAILABLE)
        /// `VIR_ERR_AGENT_UNSYNCED`: the agent answered another's question; the command was not sent.
        public static let agentUnsynced = Code(VIR_ERR_AGENT_UNSYNCED)
        /// `VIR_ERR_AGENT_COMMAND_TIMEOUT`: sent, and not answered in time. libvirt before 11.2 says
        /// `agentUnresponsive`.
        public static let agentCommandTimeout = Code(rawValue: 112)
        /// `VIR_ERR_AGENT_COMMAND_FAILED`: the agent answered with an error. libvirt before 11.2 says `internalError`.
        public static let agentCommandFailed = Code(rawValue: 113)
    }
}
