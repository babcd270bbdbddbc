// SPDX-License-Identifier: Apache-2.0

import Foundation
import FoundationXML
import GuestAgent
import Quiesce

/// A domain's definition made over for another domain on images of its own: a throw-away clone or a restored guest.
///
/// What it keeps is listed here; everything else is dropped, so that nothing a later libvirt adds ties the copy to
/// the host or to the guest it was made from.
struct DefinitionCopy {
    enum Purpose {
        /// Runs on this host beside the original, from a definition that libvirt gave us: it has no network and no way to
        /// anything that the original uses.
        case clone(Clone)
        /// From a file that anybody may have written: it names nothing on this host but what it is given.
        case restored(keepsAddresses: Bool)
    }

    struct Clone {
        /// The guest's UUID.
        var origin: String
        /// Where the consoles are written down.
        var folder: String
        var halvesMemory = false
    }

    struct Names {
        var name: String
        var uuid: String
        /// Of each disk that the copy gets; no other disk stays.
        var disks: [DiskTarget: ImageLayer]
        /// Its own UEFI variables.
        var nvram: String?
        /// For a restored guest; a clone boots from the original's.
        var kernel: String?
        var initrd: String?
    }

    static let namespace = "https://stillpoint.dev/clone/1"

    let element: XMLElement
    /// What was left out, in words fit to be printed, in the order of the definition.
    private(set) var dropped: [String] = []
    private(set) var memoryKiB: Int64 = 0

    var xml: String { element.xmlString }

    let names: Names
    let purpose: Purpose
    var consoles = 0
    var hasDisplay = false

    init(of saved: String, as names: Names, for purpose: Purpose) throws(Failure) {
        let domain = try DomainDefinition.root(of: saved)
        self.names = names
        self.purpose = purpose
        element = SnapshotXML.element("domain", ["type": domain.attribute("type") == "kvm" ? "kvm" : "qemu"])
        element.add("name", names.name)
        element.add("uuid", names.uuid)
        if case .clone(let clone) = purpose { element.addChild(Self.mark(clone)) }
        for child in domain.elements { add(child) }
        // An image that asks for a repair reboots once after it; a crash is not to be repeated.
        element.add("on_poweroff", "destroy")
        element.add("on_reboot", "restart")
        element.add("on_crash", "destroy")
    }

    /// What tells a clone of ours from any other domain.
    private static func mark(_ clone: Clone) -> XMLElement {
        let metadata = XMLElement(name: "metadata")
        metadata.addChild(
            SnapshotXML.element("stillpoint:clone", ["xmlns:stillpoint": namespace, "of": clone.origin]))
        return metadata
    }

    /// Where the UEFI variables lie that a definition names.
    static func nvram(of saved: String) throws(Failure) -> String? {
        let nvram = try DomainDefinition.root(of: saved).child("os")?.child("nvram")
        guard let path = nvram?.child("source")?.attribute("file") ?? nvram?.stringValue, !path.isEmpty else {
            return nil
        }
        return path
    }

    var isClone: Bool { if case .clone = purpose { true } else { false } }

    private mutating func add(_ child: XMLElement) {
        switch child.name ?? "" {
        case "memory", "currentMemory": addMemory(child)
        case "vcpu": addCopy(of: child, without: ["cpuset", "placement"])
        case "os": addFirmware(child)
        case "cpu": addProcessor(child)
        case "features", "clock", "pm": addCopy(of: child)
        case "sysinfo": addSystemInformation(child)
        // A copy is another machine, and what watches for that has to see it.
        case "genid": element.addChild(XMLElement(name: "genid"))
        case "devices": addDevices(child)
        // What belongs to the original alone, or says nothing about the machine.
        case "name", "uuid", "metadata", "title", "description", "resource", "seclabel", "on_poweroff", "on_reboot",
            "on_crash", "iothreads", "iothreadids":
            break
        case let other: drop(other)
        }
    }

    private mutating func addMemory(_ child: XMLElement) {
        guard let size = child.kibibytes else { return drop(child.name ?? "memory") }
        let wanted = halvesMemory ? max(size / 2, min(size, 256 << 10)) : size
        if child.name == "memory" { memoryKiB = wanted }
        let memory = SnapshotXML.element(child.name ?? "memory", ["unit": "KiB"])
        memory.stringValue = String(wanted)
        element.addChild(memory)
    }

    private var halvesMemory: Bool { if case .clone(let clone) = purpose { clone.halvesMemory } else { false } }

    private mutating func addProcessor(_ child: XMLElement) {
        guard let copy = child.duplicate else { return }
        for cell in copy.child("numa")?.children("cell") ?? [] {
            // It asks for the memory backing that was dropped.
            cell.removeAttribute(forName: "memAccess")
            guard halvesMemory, let size = cell.kibibytes(from: cell.attribute("memory")) else { continue }
            cell.set("memory", String(size / 2))
            cell.set("unit", "KiB")
        }
        element.addChild(copy)
    }

    private mutating func addSystemInformation(_ child: XMLElement) {
        guard child.attribute("type") == "smbios", let copy = child.duplicate else { return drop("sysinfo") }
        for group in copy.elements {
            // libvirt refuses one that is not the domain's own.
            for entry in group.children("entry") where entry.attribute("name") == "uuid" { entry.detach() }
        }
        element.addChild(copy)
    }

    private mutating func addFirmware(_ child: XMLElement) {
        let os = XMLElement(name: "os")
        let loader = child.child("loader")
        let isUEFI = child.attribute("firmware") == "efi" || loader?.attribute("type") == "pflash"
        for part in child.elements {
            switch part.name ?? "" {
            // Mode host shows the guest this host's own, serial numbers and UUID among it.
            case "smbios" where !isClone && !["emulate", "sysinfo"].contains(part.attribute("mode")):
                drop("os smbios \(part.attribute("mode") ?? "")")
            case "type", "boot", "bootmenu", "smbios", "bios", "acpi", "cmdline":
                if part.name == "acpi" { drop("os acpi") } else { part.duplicate.map(os.addChild) }
            case "kernel", "initrd":
                let given = part.name == "kernel" ? names.kernel : names.initrd
                if isClone {
                    part.duplicate.map(os.addChild)
                } else if let given {
                    os.add(part.name ?? "", given)
                } else {
                    drop("\(part.name ?? "") \(part.stringValue ?? "")")
                }
            case "dtb", "loader":
                if isClone {
                    part.duplicate.map(os.addChild)
                } else if part.name == "loader", isUEFI {
                    // libvirt finds one with these features by itself.
                    if part.attribute("secure") == "yes" {
                        os.addChild(SnapshotXML.element("loader", ["secure": "yes"]))
                    }
                } else {
                    drop("\(part.name ?? "") \(part.stringValue ?? "")")
                }
            case "firmware" where !isClone && isUEFI: part.duplicate.map(os.addChild)
            case "nvram", "firmware": break
            case let other: drop("os \(other)")
            }
        }
        if isUEFI {
            // Without a path of its own libvirt would make one that outlasts a clone.
            let nvram = XMLElement(name: "nvram")
            nvram.stringValue = names.nvram
            if isClone, let template = child.child("nvram")?.attribute("template") { nvram.set("template", template) }
            if names.nvram != nil { os.addChild(nvram) }
            if !isClone || loader?.stringValue?.isEmpty != false { os.set("firmware", "efi") }
        }
        if !isClone, names.kernel == nil { os.children("cmdline").forEach { $0.detach() } }
        element.addChild(os)
    }

    private mutating func addCopy(of child: XMLElement, without attributes: [String] = []) {
        guard let copy = child.duplicate else { return }
        attributes.forEach(copy.removeAttribute(forName:))
        element.addChild(copy)
    }

    mutating func drop(_ what: String) { dropped.append(what.printable(limit: 200)) }
}

extension XMLElement {
    var elements: [XMLElement] { (children ?? []).compactMap { $0 as? XMLElement } }

    var duplicate: XMLElement? { copy() as? XMLElement }

    /// A size as libvirt writes it; nil for what is none, or more than there is.
    fileprivate var kibibytes: Int64? { kibibytes(from: stringValue) }

    fileprivate func kibibytes(from text: String?) -> Int64? {
        let digits = text?.filter { !$0.isWhitespace } ?? ""
        guard let number = Int64(digits), number >= 0 else { return nil }
        switch attribute("unit") ?? "KiB" {
        case "b", "bytes": return number / 1024
        case "KiB", "k": return number
        case "MiB", "M": return number <= 1 << 40 ? number << 10 : nil
        case "GiB", "G": return number <= 1 << 30 ? number << 20 : nil
        default: return nil
        }
    }
}
