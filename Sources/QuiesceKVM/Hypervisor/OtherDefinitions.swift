// SPDX-License-Identifier: Apache-2.0

import Libvirt

extension Connection {
    /// The running and the saved definition of every other domain. One that goes away while we look uses nothing any more.
    func definitions(besides domain: Domain) throws(LibvirtError) -> [(name: String, xml: [String])] {
        var others: [(name: String, xml: [String])] = []
        for other in try domains() where other.uuid != domain.uuid {
            guard let live = try? other.xml() else { continue }
            others.append((other.name, [live, (try? other.xml(.inactive)) ?? live]))
        }
        return others
    }
}
