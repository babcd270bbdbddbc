// SPDX-License-Identifier: Apache-2.0

import CLibvirt

extension Domain {
    /// How a snapshot is made (`virDomainSnapshotCreateFlags`). libvirt's QUIESCE is left out: it can leave a guest
    /// frozen.
    public struct SnapshotCreateFlags: OptionSet, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        private init(_ flag: virDomainSnapshotCreateFlags) { rawValue = flag.rawValue }

        /// Make none: keep the metadata given, **silently replacing** those of a snapshot with the same name.
        public static let redefine = SnapshotCreateFlags(VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE)
        /// With `redefine`: make it the current one.
        public static let current = SnapshotCreateFlags(VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT)
        /// Make it and keep no metadata.
        public static let noMetadata = SnapshotCreateFlags(VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA)
        /// Disks without memory.
        public static let diskOnly = SnapshotCreateFlags(VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY)
        /// The overlays exist already. libvirt checks neither their size nor their backing file.
        public static let reuseExternal = SnapshotCreateFlags(VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT)
        /// All disks or none.
        public static let atomic = SnapshotCreateFlags(VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC)
        /// Let the guest run while its memory is saved.
        public static let live = SnapshotCreateFlags(VIR_DOMAIN_SNAPSHOT_CREATE_LIVE)
        /// Check the XML against the schema first.
        public static let validate = SnapshotCreateFlags(VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE)
    }

    /// Makes a snapshot of all chosen disks in one QEMU transaction, or redefines one (`virDomainSnapshotCreateXML`).
    ///
    /// An error does not prove that nothing happened: if libvirt fails after the transaction the guest writes to the
    /// overlays.
    @discardableResult
    public func createSnapshot(xml: String, _ flags: SnapshotCreateFlags) throws(LibvirtError) -> Snapshot {
        let snapshot = try owned("virDomainSnapshotCreateXML") {
            virDomainSnapshotCreateXML(handle, xml, flags.rawValue)
        }
        return Snapshot(snapshot, of: self)
    }

    /// Every snapshot libvirt keeps metadata of, parents first (`virDomainListAllSnapshots`).
    public func snapshots() throws(LibvirtError) -> [Snapshot] {
        let flags = VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL.rawValue
        return try list(
            "virDomainListAllSnapshots", { virDomainListAllSnapshots(handle, $0, flags) }, { Snapshot($0, of: self) })
    }

    /// The snapshot with this name; `noDomainSnapshot` if there is none (`virDomainSnapshotLookupByName`).
    public func snapshot(named name: String) throws(LibvirtError) -> Snapshot {
        let snapshot = try owned("virDomainSnapshotLookupByName") {
            virDomainSnapshotLookupByName(handle, name, 0)
        }
        return Snapshot(snapshot, of: self)
    }

    /// The snapshot the domain now builds on, nil if there is none (`virDomainSnapshotCurrent`).
    public func currentSnapshot() throws(LibvirtError) -> Snapshot? {
        try optional(unless: .noDomainSnapshot) { () throws(LibvirtError) in
            Snapshot(try owned("virDomainSnapshotCurrent") { virDomainSnapshotCurrent(handle, 0) }, of: self)
        }
    }
}
