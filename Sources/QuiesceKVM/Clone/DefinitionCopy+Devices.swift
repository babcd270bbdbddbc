// SPDX-License-Identifier: Apache-2.0

import FoundationXML
import Quiesce

/// The devices that a copy gets, made over so that they touch nothing of the original's.
extension DefinitionCopy {
    mutating func addDevices(_ child: XMLElement) {
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
}

extension XMLElement {
    fileprivate func duplicate(without parts: [String]) -> XMLElement? {
        guard let copy = duplicate else { return nil }
        for part in parts { copy.children(part).forEach { $0.detach() } }
        return copy
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
