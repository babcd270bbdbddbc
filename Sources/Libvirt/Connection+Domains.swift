// SPDX-License-Identifier: Apache-2.0

import CLibvirt

extension Connection {
    /// All domains, running or not (`virConnectListAllDomains`).
    public func domains() throws(LibvirtError) -> [Domain] {
        try list("virConnectListAllDomains", { virConnectListAllDomains(handle, $0, 0) }, { Domain($0, of: self) })
    }

    /// The domain with this name; `noDomain` if there is none (`virDomainLookupByName`).
    public func domain(named name: String) throws(LibvirtError) -> Domain {
        Domain(try owned("virDomainLookupByName") { virDomainLookupByName(handle, name) }, of: self)
    }

    /// The running domain with this id; `noDomain` if there is none (`virDomainLookupByID`).
    public func domain(id: Int) throws(LibvirtError) -> Domain {
        Domain(try owned("virDomainLookupByID") { virDomainLookupByID(handle, CInt(clamping: id)) }, of: self)
    }

    /// The domain with this UUID, with or without dashes; `noDomain` if there is none, `invalidArgument` if it is no
    /// UUID (`virDomainLookupByUUIDString`).
    public func domain(uuid: String) throws(LibvirtError) -> Domain {
        Domain(try owned("virDomainLookupByUUIDString") { virDomainLookupByUUIDString(handle, uuid) }, of: self)
    }

    /// The domain a person means by `reference`, found as virsh finds it: a number is tried as an id, 36 characters
    /// as a UUID, and what neither finds as a name. So a running domain with id 7 hides another one named "7".
    ///
    /// Unlike virsh it goes on to the next meaning only where there is no such domain: any other failure is thrown.
    public func domain(_ reference: String) throws(LibvirtError) -> Domain {
        if let id = Int32(reference), id >= 0 {
            let found = try optional(unless: .noDomain) { () throws(LibvirtError) in try domain(id: Int(id)) }
            if let found { return found }
        }
        if reference.utf8.count == 36 {
            // A name can have 36 characters too, and is no UUID then: invalidArgument.
            let found = try optional(unless: .noDomain, .invalidArgument) { () throws(LibvirtError) in
                try domain(uuid: reference)
            }
            if let found { return found }
        }
        return try domain(named: reference)
    }

    /// Defines a persistent domain, or replaces the definition of the one with its name and UUID
    /// (`virDomainDefineXMLFlags`).
    @discardableResult
    public func define(xml: String) throws(LibvirtError) -> Domain {
        Domain(try owned("virDomainDefineXMLFlags") { virDomainDefineXMLFlags(handle, xml, 0) }, of: self)
    }

    /// The definition, passwords included, that memory was saved with (`virDomainSaveImageGetXMLDesc`).
    public func savedDefinition(in file: String) throws(LibvirtError) -> String {
        try text("virDomainSaveImageGetXMLDesc") {
            virDomainSaveImageGetXMLDesc(handle, file, VIR_DOMAIN_SAVE_IMAGE_XML_SECURE.rawValue)
        }
    }

    /// Starts a domain from saved memory, which stays (`virDomainRestoreFlags`).
    /// - Parameter xml: its definition, changed in nothing that the guest could see.
    public func restore(from file: String, xml: String, paused: Bool) throws(LibvirtError) {
        let state = paused ? VIR_DOMAIN_SAVE_PAUSED : VIR_DOMAIN_SAVE_RUNNING
        try checked("virDomainRestoreFlags") { virDomainRestoreFlags(handle, file, xml, state.rawValue) }
    }

    /// Starts a domain that is gone with its process (`virDomainCreateXML`).
    /// - Parameter endsWithConnection: the daemon destroys it when this connection ends, however that happens. A daemon
    ///   that is started anew in between forgets it.
    public func create(xml: String, endsWithConnection: Bool) throws(LibvirtError) -> Domain {
        let flags = endsWithConnection ? VIR_DOMAIN_START_AUTODESTROY.rawValue : 0
        return Domain(try owned("virDomainCreateXML") { virDomainCreateXML(handle, xml, flags) }, of: self)
    }
}
