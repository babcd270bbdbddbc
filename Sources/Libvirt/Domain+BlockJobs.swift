// SPDX-License-Identifier: Apache-2.0

import CLibvirt

extension Domain {
    /// A disk's sizes in bytes (`virDomainBlockInfo`).
    public struct BlockInfo: Sendable, Equatable {
        /// What the guest sees.
        public let capacity: UInt64
        /// What the image occupies on the host: in a file its blocks, on a block device up to the highest one written.
        public let allocation: UInt64
        /// The size of the file or block device that holds it.
        public let physical: UInt64
    }

    /// The sizes of a disk's active layer (`virDomainGetBlockInfo`).
    /// - Parameter disk: target ("vda") or path.
    public func blockInfo(_ disk: String) throws(LibvirtError) -> BlockInfo {
        var info = virDomainBlockInfo()
        try checked("virDomainGetBlockInfo") { virDomainGetBlockInfo(handle, disk, &info, 0) }
        return BlockInfo(capacity: info.capacity, allocation: info.allocation, physical: info.physical)
    }

    /// What a block job does (`virDomainBlockJobType`).
    public enum BlockJobKind: Int32, Sendable {
        /// libvirt did not say, or it is newer than this list.
        case unknown = 0
        case pull = 1
        case copy = 2
        case commit = 3
        case activeCommit = 4
        case backup = 5
    }

    /// A block job on one disk (`virDomainBlockJobInfo`).
    public struct BlockJob: Sendable, Equatable {
        public let kind: BlockJobKind
        /// How far it has come, of `end`. Only their relation has a meaning, and both can move.
        public let current: UInt64
        /// Where it is done; an active commit at its end is ready to pivot only after its `ready` event or with
        /// `<mirror ready='yes'>` in the XML.
        public let end: UInt64
        /// The limit in bytes a second, 0 if there is none.
        public let bandwidth: UInt64
    }

    /// The job on this disk, nil if there is none (`virDomainGetBlockJobInfo`).
    public func blockJob(_ disk: String) throws(LibvirtError) -> BlockJob? {
        var info = virDomainBlockJobInfo()
        let flags = VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES.rawValue
        let found = try checked("virDomainGetBlockJobInfo") { virDomainGetBlockJobInfo(handle, disk, &info, flags) }
        guard found > 0 else { return nil }
        return BlockJob(
            kind: BlockJobKind(rawValue: info.type) ?? .unknown,
            current: info.cur, end: info.end, bandwidth: UInt64(info.bandwidth))
    }

    /// How layers are committed (`virDomainBlockCommitFlags`).
    public struct BlockCommitFlags: OptionSet, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        private init(_ flag: virDomainBlockCommitFlags) { rawValue = flag.rawValue }

        /// Without a base: into the next layer below `top`, not into the last.
        public static let shallow = BlockCommitFlags(VIR_DOMAIN_BLOCK_COMMIT_SHALLOW)
        /// Unlink the committed files afterwards.
        public static let delete = BlockCommitFlags(VIR_DOMAIN_BLOCK_COMMIT_DELETE)
        /// `top` is the active layer: the job stays, `ready`, until it is pivoted or aborted.
        public static let active = BlockCommitFlags(VIR_DOMAIN_BLOCK_COMMIT_ACTIVE)
        /// Keep relative backing file names relative.
        public static let relative = BlockCommitFlags(VIR_DOMAIN_BLOCK_COMMIT_RELATIVE)
    }

    /// Begins to merge the layers from `top` down to above `base` into `base`, and returns (`virDomainBlockCommit`).
    /// - Parameters:
    ///   - disk: target ("vda").
    ///   - base: path or "vda[2]"; nil for the last layer, or the next with `shallow`.
    ///   - top: path or "vda[1]"; nil for the active layer.
    ///   - bandwidth: bytes a second, 0 for no limit.
    public func blockCommit(
        _ disk: String, base: String? = nil, top: String? = nil, bandwidth: UInt = 0, _ flags: BlockCommitFlags
    ) throws(LibvirtError) {
        let flags = flags.rawValue | VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES.rawValue
        try checked("virDomainBlockCommit") { virDomainBlockCommit(handle, disk, base, top, bandwidth, flags) }
    }

    /// How a block job is ended (`virDomainBlockJobAbortFlags`).
    public struct BlockJobAbortFlags: OptionSet, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }

        /// Return before it has ended; an event tells.
        public static let async = BlockJobAbortFlags(rawValue: VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC.rawValue)
        /// Finish a ready job: make its result the active layer.
        public static let pivot = BlockJobAbortFlags(rawValue: VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT.rawValue)
    }

    /// Cancels the disk's job, or with `pivot` completes it (`virDomainBlockJobAbort`).
    public func blockJobAbort(_ disk: String, _ flags: BlockJobAbortFlags = []) throws(LibvirtError) {
        try checked("virDomainBlockJobAbort") { virDomainBlockJobAbort(handle, disk, flags.rawValue) }
    }

    /// Limits the disk's job to this many bytes a second, 0 for no limit (`virDomainBlockJobSetSpeed`).
    public func blockJobSetSpeed(_ disk: String, bandwidth: UInt) throws(LibvirtError) {
        let flags = VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES.rawValue
        try checked("virDomainBlockJobSetSpeed") { virDomainBlockJobSetSpeed(handle, disk, bandwidth, flags) }
    }
}
