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

    private let names: Names
    private let purpose: Purpose
    private var consoles = 0
    private var hasDisplay = false

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

    private var isClone: Bool { if case .clone = purpose { true } else { false } }

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

    private mutating func addDevices(_ child: XMLElement) {
        let devices = XMLElement(name: "devices")
        for device in child.elements {
            if let copy = copy(ofDevice: device) {
                for alias in copy.children("alias") { alias.detach() }
                devices.addChild(copy)
            }
        }
        element.addChild(devices)
    }

    /// Nil for one that the copy does not get.
    private mutating func copy(ofDevice device: XMLElement) -> XMLElement? {
        switch device.name ?? "" {
        case "disk": return disk(device)
        case "controller": return device.duplicate(without: ["driver"])
        case "memballoon", "panic", "iommu": return device.duplicate
        case "input" where ["mouse", "tablet", "keyboard"].contains(device.attribute("type")): return device.duplicate
        case "video": return video(device)
        case "rng": return randomness(device)
        case "watchdog":
            let copy = device.duplicate
            copy?.set("action", "none")
            return copy
        case "serial": return console(device)
        // The first one is only another name of the first serial line.
        case "console": return device.child("target")?.attribute("type") == "virtio" ? console(device) : nil
        case "channel": return channel(device)
        case "emulator" where isClone: return device.duplicate
        case "emulator": return nil
        case "interface" where !isClone: return interface(device)
        case "graphics" where !isClone: return graphics(device)
        case "audio", "sound": return nil
        default:
            drop(device.summary)
            return nil
        }
    }

    private mutating func disk(_ device: XMLElement) -> XMLElement? {
        let name = device.child("target")?.attribute("dev") ?? "?"
        let medium = device.child("source").flatMap { $0.attribute("file") ?? $0.attribute("dev") }
        if let target = DiskTarget(name), let image = names.disks[target] {
            let disk = SnapshotXML.element("disk", ["type": "file", "device": "disk"])
            device.attribute("model").map { disk.set("model", $0) }
            let driver = SnapshotXML.element("driver", ["name": "qemu", "type": image.format, "discard": "unmap"])
            // Nothing of a clone is needed after a power cut.
            if isClone { driver.set("cache", "unsafe") }
            disk.addChild(driver)
            disk.addChild(SnapshotXML.element("source", ["file": image.path]))
            for part in ["target", "blockio", "geometry", "serial", "wwn", "vendor", "product", "boot", "address"] {
                device.child(part)?.duplicate.map(disk.addChild)
            }
            return disk
        }
        guard device.attribute("device") == "cdrom" else {
            drop("disk \(name)\(medium.map { " (\($0))" } ?? "")")
            return nil
        }
        let drive = SnapshotXML.element("disk", ["type": "file", "device": "cdrom"])
        drive.addChild(SnapshotXML.element("driver", ["name": "qemu", "type": "raw"]))
        if let medium {
            if isClone, device.child("source")?.attribute("file") != nil {
                // A guest may look for its configuration there at each boot. Nobody writes to it.
                drive.addChild(SnapshotXML.element("source", ["file": medium, "startupPolicy": "optional"]))
            } else {
                drop("medium of \(name) (\(medium))")
            }
        }
        for part in ["target", "boot", "address"] { device.child(part)?.duplicate.map(drive.addChild) }
        drive.addChild(XMLElement(name: "readonly"))
        return drive
    }

    private func video(_ device: XMLElement) -> XMLElement? {
        guard let copy = device.duplicate(without: isClone ? [] : ["driver"]) else { return nil }
        // Its acceleration may name a device of the host.
        if !isClone { copy.child("model")?.elements.forEach { $0.detach() } }
        // QXL is of use with SPICE alone.
        if let model = copy.child("model"), model.attribute("type") == "qxl" {
            model.detach()
            copy.addChild(SnapshotXML.element("model", ["type": "vga"]))
        }
        return copy
    }

    private mutating func randomness(_ device: XMLElement) -> XMLElement? {
        guard let backend = device.child("backend"), let model = backend.attribute("model"),
            ["random", "builtin"].contains(model), let copy = device.duplicate(without: ["backend"])
        else {
            drop(device.summary)
            return nil
        }
        let source = SnapshotXML.element("backend", ["model": model])
        if model == "random" { source.stringValue = "/dev/urandom" }
        copy.addChild(source)
        return copy
    }

    /// A terminal of its own, written down where the clone's files are.
    private mutating func console(_ device: XMLElement) -> XMLElement? {
        let copy = SnapshotXML.element(device.name ?? "serial", ["type": "pty"])
        if case .clone(let clone) = purpose {
            let file = consoles == 0 ? "console.log" : "console-\(consoles).log"
            consoles += 1
            copy.addChild(SnapshotXML.element("log", ["file": "\(clone.folder)/\(file)", "append": "off"]))
        }
        for part in ["target", "address"] { device.child(part)?.duplicate.map(copy.addChild) }
        return copy
    }

    /// The agent's alone, at a socket that libvirt makes anew.
    private mutating func channel(_ device: XMLElement) -> XMLElement? {
        guard let target = device.child("target"), target.attribute("name") == "org.qemu.guest_agent.0" else {
            drop(device.summary)
            return nil
        }
        let copy = SnapshotXML.element("channel", ["type": "unix"])
        copy.addChild(SnapshotXML.element("target", ["type": "virtio", "name": "org.qemu.guest_agent.0"]))
        device.child("address")?.duplicate.map(copy.addChild)
        return copy
    }

    /// Whatever it was on, it is on libvirt's own network now: another guest's, or the host's, is not for a file to name.
    private mutating func interface(_ device: XMLElement) -> XMLElement? {
        guard case .restored(let keepsAddresses) = purpose else { return nil }
        let isUsers = device.attribute("type") == "user"
        let copy = SnapshotXML.element("interface", ["type": isUsers ? "user" : "network"])
        if !isUsers { copy.addChild(SnapshotXML.element("source", ["network": "default"])) }
        for part in (keepsAddresses ? ["mac"] : []) + ["model", "boot", "address"] {
            device.child(part)?.duplicate.map(copy.addChild)
        }
        let network = device.child("source")?.attribute("network")
        if !isUsers, network != "default" { drop("\(device.summary), now on the network default") }
        if !keepsAddresses, let address = device.child("mac")?.attribute("address") { drop("MAC address \(address)") }
        return copy
    }

    private mutating func graphics(_ device: XMLElement) -> XMLElement? {
        // libvirt takes one of a kind.
        guard let type = device.attribute("type"), ["vnc", "spice"].contains(type), !hasDisplay else {
            drop(device.summary)
            return nil
        }
        hasDisplay = true
        return SnapshotXML.element("graphics", ["type": "vnc", "autoport": "yes", "listen": "127.0.0.1"])
    }

    private mutating func addCopy(of child: XMLElement, without attributes: [String] = []) {
        guard let copy = child.duplicate else { return }
        attributes.forEach(copy.removeAttribute(forName:))
        element.addChild(copy)
    }

    private mutating func drop(_ what: String) { dropped.append(what.printable(limit: 200)) }
}

extension XMLElement {
    var elements: [XMLElement] { (children ?? []).compactMap { $0 as? XMLElement } }

    var duplicate: XMLElement? { copy() as? XMLElement }

    fileprivate func duplicate(without parts: [String]) -> XMLElement? {
        guard let copy = duplicate else { return nil }
        for part in parts { copy.children(part).forEach { $0.detach() } }
        return copy
    }

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

    /// `interface network default`, `hostdev pci`, `filesystem /srv/share`
    fileprivate var summary: String {
        let source = child("source")
        let detail = ["network", "bridge", "dir", "path", "file", "dev", "name"].lazy.compactMap {
            source?.attribute($0)
        }.first
        let target = child("target")?.attribute("name")
        return [name ?? "?", attribute("type"), detail ?? target].compactMap(\.self).joined(separator: " ")
    }
}
