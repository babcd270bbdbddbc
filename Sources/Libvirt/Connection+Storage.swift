// SPDX-License-Identifier: Apache-2.0

import CLibvirt

extension Connection {
    /// The path of a volume in an active storage pool (`virStorageVolGetPath`); nil where there is no such pool or volume
    /// now. A volume of a network pool has a path that is none of this host's.
    public func volumePath(pool: String, volume: String) throws(LibvirtError) -> String? {
        try optional(unless: .noStoragePool, .noStorageVolume, .operationInvalid) { () throws(LibvirtError) in
            let pool = try owned("virStoragePoolLookupByName") { virStoragePoolLookupByName(handle, pool) }
            defer { virStoragePoolFree(pool) }
            let volume = try owned("virStorageVolLookupByName") { virStorageVolLookupByName(pool, volume) }
            defer { virStorageVolFree(volume) }
            return try text("virStorageVolGetPath") { virStorageVolGetPath(volume) }
        }
    }
}
