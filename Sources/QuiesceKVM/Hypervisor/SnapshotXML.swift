// SPDX-License-Identifier: Apache-2.0

import Foundation
import FoundationXML
import Quiesce

/// The `<domainsnapshot>` documents libvirt gets from us.
enum SnapshotXML {
    /// The cut: every chosen disk to its staged overlay, every other one named as left out, since libvirt would take it in.
    static func cut(_ disks: [MemberPlan.Disk], leaving others: [DiskTarget], named name: SnapshotName) -> String {
        let snapshot = XMLElement(name: "domainsnapshot")
        snapshot.add("name", name.description)
        snapshot.addChild(self.disks(disks, leaving: others))
        return snapshot.xmlString
    }

    /// The cut with the guest's memory in `file`.
    static func cut(_ order: CutOrder, withMemoryIn file: String) -> String {
        let snapshot = head(order)
        snapshot.addChild(element("memory", ["snapshot": "external", "file": file]))
        snapshot.addChild(disks(order.disks, leaving: order.others))
        return snapshot.xmlString
    }

    /// A snapshot inside the images.
    static func inside(_ order: CutOrder) -> String {
        let snapshot = head(order)
        let list = XMLElement(name: "disks")
        for disk in order.disks {
            list.addChild(element("disk", ["name": disk.target.description, "snapshot": "internal"]))
        }
        snapshot.addChild(list)
        return snapshot.xmlString
    }

    private static func head(_ order: CutOrder) -> XMLElement {
        let snapshot = XMLElement(name: "domainsnapshot")
        snapshot.add("name", order.name.description)
        if let note = order.note { snapshot.add("description", note) }
        return snapshot
    }

    /// The metadata of a snapshot that is already taken, for `VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE`.
    static func redefinition(_ registration: Registration) throws(Failure) -> String {
        let snapshot = XMLElement(name: "domainsnapshot")
        snapshot.add("name", registration.name.description)
        if let note = registration.note { snapshot.add("description", note) }
        snapshot.add("state", registration.isAtRest ? "shutoff" : "disk-snapshot")
        if let parent = registration.parent {
            let element = XMLElement(name: "parent")
            element.add("name", parent)
            snapshot.addChild(element)
        }
        snapshot.add("creationTime", String(registration.createdAt.seconds))
        snapshot.addChild(element("memory", ["snapshot": "no"]))
        snapshot.addChild(disks(registration.disks, leaving: registration.others))
        guard let domain = try DomainDefinition.root(of: registration.definition).copy() as? XMLElement else {
            throw Failure(.internalError, "the saved definition cannot be copied")
        }
        snapshot.addChild(domain)
        return snapshot.xmlString
    }

    private static func disks(_ disks: [MemberPlan.Disk], leaving others: [DiskTarget]) -> XMLElement {
        let list = XMLElement(name: "disks")
        for disk in disks {
            let element = element(
                "disk", ["name": disk.target.description, "snapshot": "external", "type": "file"])
            element.addChild(self.element("driver", ["type": "qcow2"]))
            element.addChild(self.element("source", ["file": disk.overlay]))
            list.addChild(element)
        }
        for target in others {
            list.addChild(element("disk", ["name": target.description, "snapshot": "no"]))
        }
        return list
    }

    static func element(_ name: String, _ attributes: KeyValuePairs<String, String>) -> XMLElement {
        let element = XMLElement(name: name)
        for (name, value) in attributes {
            let attribute = XMLNode(kind: .attribute)
            attribute.name = name
            attribute.stringValue = value
            element.addAttribute(attribute)
        }
        return element
    }
}

extension XMLElement {
    func add(_ name: String, _ text: String) {
        let element = XMLElement(name: name)
        element.stringValue = text
        addChild(element)
    }
}
