// SPDX-License-Identifier: Apache-2.0

import CLibvirt

extension Domain {
    /// Which of a running domain's two descriptions is meant (`virDomainModificationImpact`). Empty: the one now in
    /// force.
    public struct Impact: OptionSet, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }

        /// The running guest.
        public static let live = Impact(rawValue: VIR_DOMAIN_AFFECT_LIVE.rawValue)
        /// The definition that the next start uses.
        public static let config = Impact(rawValue: VIR_DOMAIN_AFFECT_CONFIG.rawValue)
    }

    /// The element kept in the domain's `<metadata>` under this namespace, nil if there is none
    /// (`virDomainGetMetadata`).
    /// - Parameter impact: one at most.
    public func metadata(namespace: String, _ impact: Impact = []) throws(LibvirtError) -> String? {
        try optional(unless: .noDomainMetadata) { () throws(LibvirtError) in
            try text("virDomainGetMetadata") {
                virDomainGetMetadata(handle, CInt(VIR_DOMAIN_METADATA_ELEMENT.rawValue), namespace, impact.rawValue)
            }
        }
    }

    /// Keeps `element` under this namespace in place of what was there, or removes that when nil
    /// (`virDomainSetMetadata`).
    /// - Parameters:
    ///   - element: XML with one root element, without the namespace: libvirt adds it, with `prefix`.
    ///   - impact: both may be named.
    public func setMetadata(
        _ element: String?, namespace: String, prefix: String, _ impact: Impact = []
    ) throws(LibvirtError) {
        try checked("virDomainSetMetadata") {
            virDomainSetMetadata(
                handle, CInt(VIR_DOMAIN_METADATA_ELEMENT.rawValue), element, prefix, namespace, impact.rawValue)
        }
    }
}
