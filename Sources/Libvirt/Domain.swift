// SPDX-License-Identifier: Apache-2.0

import CLibvirt

/// A guest as libvirt knows it (`virDomainPtr`), shared freely between threads and tasks. Its calls block, as
/// `Connection` tells.
public final class Domain: Sendable {
    public let name: String
    /// In the canonical form: lower case, with dashes.
    public let uuid: String

    // Holds the connection's own reference, which must be the last one to go.
    let connection: Connection
    // Safe to share: libvirt locks internally. This reference is ours, dropped once, in deinit.
    nonisolated(unsafe) let handle: virDomainPtr

    /// Takes over the caller's reference.
    init(_ handle: virDomainPtr, of connection: Connection) {
        self.handle = handle
        self.connection = connection
        // Both are read from the handle itself and fail only for a pointer that is no domain.
        name = virDomainGetName(handle).map { String(cString: $0) } ?? ""
        uuid = withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(VIR_UUID_STRING_BUFLEN)) { buffer in
            guard let start = buffer.baseAddress, virDomainGetUUIDString(handle, start) == 0 else { return "" }
            return String(cString: start)
        }
    }

    deinit {
        virDomainFree(handle)
    }
}

extension Domain {
    /// The id of a running domain, nil when it was not running (`virDomainGetID`). It is what was true when this
    /// handle was looked up or started: look up again to be sure.
    public var id: Int? {
        let id = virDomainGetID(handle)
        return id == CUnsignedInt.max ? nil : Int(id)
    }

    /// Whether it runs, or is paused: whether it has a process (`virDomainIsActive`).
    public func isActive() throws(LibvirtError) -> Bool {
        try checked("virDomainIsActive") { virDomainIsActive(handle) } == 1
    }

    /// Whether it has a definition that outlives its process (`virDomainIsPersistent`).
    public func isPersistent() throws(LibvirtError) -> Bool {
        try checked("virDomainIsPersistent") { virDomainIsPersistent(handle) } == 1
    }

    /// Whether its memory lies in a managed save image, from which the next start goes on
    /// (`virDomainHasManagedSaveImage`).
    public func hasManagedSave() throws(LibvirtError) -> Bool {
        try checked("virDomainHasManagedSaveImage") { virDomainHasManagedSaveImage(handle, 0) } == 1
    }

    /// The number of checkpoints libvirt keeps for it (`virDomainListAllCheckpoints`).
    public func checkpointCount() throws(LibvirtError) -> Int {
        Int(try checked("virDomainListAllCheckpoints") { virDomainListAllCheckpoints(handle, nil, 0) })
    }

    /// Its description (`virDomainGetXMLDesc`): of the running guest, or of the stopped one; see `XMLFlags`.
    public func xml(_ flags: XMLFlags = []) throws(LibvirtError) -> String {
        try text("virDomainGetXMLDesc") { virDomainGetXMLDesc(handle, flags.rawValue) }
    }

    /// What `xml` gives (`virDomainXMLFlags`).
    public struct XMLFlags: OptionSet, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }

        /// With passwords; refused on a read-only connection.
        public static let secure = XMLFlags(rawValue: VIR_DOMAIN_XML_SECURE.rawValue)
        /// The definition the next start uses, also while the domain runs.
        public static let inactive = XMLFlags(rawValue: VIR_DOMAIN_XML_INACTIVE.rawValue)
    }
}
