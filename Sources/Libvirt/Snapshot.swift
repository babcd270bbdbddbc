// SPDX-License-Identifier: Apache-2.0

import CLibvirt

/// A snapshot libvirt keeps metadata of (`virDomainSnapshotPtr`). Its calls block, as `Connection` tells.
public final class Snapshot: Sendable {
    public let name: String

    // Holds the connection, whose reference must be the last one to go.
    private let domain: Domain
    // Safe to share: libvirt locks internally. This reference is ours, dropped once, in deinit.
    nonisolated(unsafe) private let handle: virDomainSnapshotPtr

    /// Takes over the caller's reference.
    init(_ handle: virDomainSnapshotPtr, of domain: Domain) {
        self.handle = handle
        self.domain = domain
        // Read from the handle itself; fails only for a pointer that is no snapshot.
        name = virDomainSnapshotGetName(handle).map { String(cString: $0) } ?? ""
    }

    deinit {
        virDomainSnapshotFree(handle)
    }

    /// Its description (`virDomainSnapshotGetXMLDesc`), with passwords if `secure`: what a redefinition needs.
    public func xml(secure: Bool = false) throws(LibvirtError) -> String {
        let flags = secure ? VIR_DOMAIN_SNAPSHOT_XML_SECURE.rawValue : 0
        return try text("virDomainSnapshotGetXMLDesc") { virDomainSnapshotGetXMLDesc(handle, flags) }
    }

    /// The name of the snapshot it was taken after, nil for the first (`virDomainSnapshotGetParent`).
    public func parentName() throws(LibvirtError) -> String? {
        try optional(unless: .noDomainSnapshot) { () throws(LibvirtError) in
            Snapshot(try owned("virDomainSnapshotGetParent") { virDomainSnapshotGetParent(handle, 0) }, of: domain).name
        }
    }

    /// Removes it, an internal one from its images too (`virDomainSnapshotDelete`).
    public func delete() throws(LibvirtError) {
        try checked("virDomainSnapshotDelete") { virDomainSnapshotDelete(handle, 0) }
    }

    /// Makes libvirt forget it and touches no image; its children then follow its parent
    /// (`virDomainSnapshotDelete` with `METADATA_ONLY`).
    public func deleteMetadata() throws(LibvirtError) {
        let flags = VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY.rawValue
        try checked("virDomainSnapshotDelete") { virDomainSnapshotDelete(handle, flags) }
    }
}
