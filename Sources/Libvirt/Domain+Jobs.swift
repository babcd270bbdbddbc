// SPDX-License-Identifier: Apache-2.0

import CLibvirt

extension Domain {
    /// A long operation on the whole domain: migration, save, dump, snapshot with memory, backup. Block jobs are not
    /// among them.
    public struct Job: Sendable, Equatable {
        public let kind: Kind
        public let operation: Operation
        /// Bytes moved, and bytes there are to move as far as is known; 0 where it does not count bytes.
        public let done: UInt64
        public let total: UInt64

        /// `virDomainJobType`
        public enum Kind: Int32, Sendable {
            /// Its end can be foretold.
            case bounded = 1
            /// Its end cannot be foretold.
            case unbounded = 2
            case completed = 3
            case failed = 4
            case cancelled = 5
        }

        /// `virDomainJobOperation`
        public enum Operation: Int32, Sendable {
            /// libvirt did not say, or it is newer than this list.
            case unknown = 0
            case start = 1
            case save = 2
            case restore = 3
            case migrationIn = 4
            case migrationOut = 5
            case snapshot = 6
            case snapshotRevert = 7
            case dump = 8
            case backup = 9
            case snapshotDelete = 10
        }
    }

    /// The job the domain is in, nil if there is none (`virDomainGetJobStats`). `operationInvalid` if it does not run.
    public func job() throws(LibvirtError) -> Job? {
        var kind: CInt = 0
        var parameters: virTypedParameterPtr?
        var count: CInt = 0
        try checked("virDomainGetJobStats") { virDomainGetJobStats(handle, &kind, &parameters, &count, 0) }
        defer { virTypedParamsFree(parameters, count) }
        guard kind != CInt(VIR_DOMAIN_JOB_NONE.rawValue) else { return nil }
        var operation: CInt = 0
        // Left at 0, unknown, when the answer has no such field.
        virTypedParamsGetInt(parameters, count, VIR_DOMAIN_JOB_OPERATION, &operation)
        var (done, total) = (CUnsignedLongLong(0), CUnsignedLongLong(0))
        virTypedParamsGetULLong(parameters, count, VIR_DOMAIN_JOB_DATA_PROCESSED, &done)
        virTypedParamsGetULLong(parameters, count, VIR_DOMAIN_JOB_DATA_TOTAL, &total)
        return Job(
            kind: Job.Kind(rawValue: kind) ?? .unbounded, operation: Job.Operation(rawValue: operation) ?? .unknown,
            done: done, total: total)
    }

    /// Ends the job it is in and takes back what that did (`virDomainAbortJob`); `operationInvalid` if there is none.
    public func abortJob() throws(LibvirtError) {
        try checked("virDomainAbortJob") { virDomainAbortJob(handle) }
    }
}
