// SPDX-License-Identifier: Apache-2.0

import Foundation
import FoundationXML
import Quiesce

/// What a domain's XML says, read and never written back.
struct DomainDefinition {
    enum AgentChannel { case absent, disconnected, connected }

    struct Disk {
        var facts: DiskFacts
        /// libvirt's alias, by which QEMU knows the device; only in a running definition.
        var alias: String?
        var hasReadyMirror: Bool
    }

    var disks: [Disk] = []
    var agentChannel = AgentChannel.absent
    var relabelsWithAppArmor = false
    /// Powered off by itself the guest stays off.
    var staysOff = true
    /// Bytes of memory it has.
    var memoryBytes: Int64?
    /// The file of its UEFI variables.
    var nvram: String?
    var hasTPM = false

    /// - Parameter volumes: the paths of pools' volumes; a disk on another volume has no chain.
    init(xml: String, named name: String = "domain", volumes: [PoolVolume: String] = [:]) throws(Failure) {
        let domain = try Self.root(of: xml, name)
        let devices = domain.child("devices")
        let controllers = Self.controllers(devices)
        disks = devices?.children("disk").compactMap { Self.disk($0, controllers, volumes) } ?? []
        let channel = devices?.children("channel").first {
            $0.child("target")?.attribute("name") == "org.qemu.guest_agent.0"
        }
        if let channel {
            agentChannel = channel.child("target")?.attribute("state") == "disconnected" ? .disconnected : .connected
        }
        staysOff = (domain.child("on_poweroff")?.stringValue ?? "destroy") == "destroy"
        // libvirt always gives it in KiB.
        memoryBytes =
            domain.child("memory")?.stringValue.flatMap { Int64($0) }?.multipliedReportingOverflow(by: 1024)
            .partialValue
        nvram = domain.child("os")?.child("nvram").flatMap { $0.child("source")?.attribute("file") ?? $0.stringValue }
            .flatMap { $0.hasPrefix("/") ? $0 : nil }
        hasTPM = devices?.child("tpm") != nil
        relabelsWithAppArmor = domain.children("seclabel").contains {
            $0.attribute("model") == "apparmor" && $0.attribute("relabel") != "no"
        }
    }

    /// The `<domain>` element, and whole: XMLDocument on Linux crashes on an empty text and makes what it can of half of
    /// one.
    static func root(of xml: String, _ name: String = "domain") throws(Failure) -> XMLElement {
        let text = xml.lastIndex { !$0.isWhitespace }.map { xml[...$0].drop(while: \.isWhitespace) } ?? ""
        let document =
            text.hasPrefix("<\(name)")
                && (text.hasSuffix("</\(name)>") || text.hasSuffix("/>") && !text.dropFirst().contains("<"))
            ? try? XMLDocument(data: Data(text.utf8), options: [.nodeLoadExternalEntitiesNever]) : nil
        guard let root = document?.rootElement(), root.name == name else {
            throw Failure(.internalError, "libvirt's definition of the domain is not whole, readable XML")
        }
        return root
    }

    /// PCI addresses of the SCSI controllers, by index: the guest knows a SCSI disk by its controller's.
    private static func controllers(_ devices: XMLElement?) -> [Int: PCIAddress] {
        var controllers: [Int: PCIAddress] = [:]
        for element in devices?.children("controller") ?? [] where element.attribute("type") == "scsi" {
            guard let index = element.attribute("index").flatMap({ Int($0) }), let address = element.child("address")
            else { continue }
            controllers[index] = pci(address)
        }
        return controllers
    }

    private static func disk(
        _ element: XMLElement, _ controllers: [Int: PCIAddress], _ volumes: [PoolVolume: String]
    ) -> Disk? {
        guard let name = element.child("target")?.attribute("dev"), let target = DiskTarget(name) else { return nil }
        let driver = element.child("driver")
        let format = driver?.attribute("type") ?? "raw"
        let chain = chain(element, format, volumes)
        var facts = DiskFacts(
            target: target,
            device: DiskFacts.Device(rawValue: element.attribute("device") ?? "disk") ?? .disk,
            source: source(element), format: format,
            isReadOnly: element.child("readonly") != nil, isShareable: element.child("shareable") != nil,
            isTransient: element.child("transient") != nil, cache: driver?.attribute("cache"),
            serial: element.child("serial")?.stringValue, address: address(element, controllers),
            liveChain: chain.layers)
        facts.isChainOpen = !chain.isClosed
        return Disk(
            facts: facts, alias: element.child("alias")?.attribute("name"),
            hasReadyMirror: element.child("mirror")?.attribute("ready") == "yes")
    }

    private static func source(_ disk: XMLElement) -> DiskFacts.Source {
        guard let source = disk.child("source") else { return .none }
        switch disk.attribute("type") ?? "file" {
        case "file": return source.attribute("file").map { .file($0) } ?? .none
        case "block": return source.attribute("dev").map { .block($0) } ?? .none
        case "volume":
            return .volume(pool: source.attribute("pool") ?? "?", name: source.attribute("volume") ?? "?")
        case "network": return .network(source.attribute("protocol") ?? "?")
        case let other: return .other(other)
        }
    }

    /// Closed by an empty `<backingStore>`.
    private static func chain(
        _ disk: XMLElement, _ format: String, _ volumes: [PoolVolume: String]
    ) -> (layers: [ImageLayer], isClosed: Bool) {
        var layers: [ImageLayer] = []
        var element: XMLElement? = disk
        var format = format
        // libvirt's own limit is 200 layers.
        while let layer = element, layers.count < 256 {
            guard let source = layer.child("source"),
                let path =
                    source.attribute("file") ?? source.attribute("dev") ?? source.attribute("name")
                    ?? PoolVolume(source).flatMap({ volumes[$0] })
            else { break }
            layers.append(ImageLayer(path: path, format: format))
            element = layer.child("backingStore")
            format = element?.child("format")?.attribute("type") ?? "raw"
        }
        return (layers, element != nil)
    }

    private static func address(_ disk: XMLElement, _ controllers: [Int: PCIAddress]) -> DiskFacts.Address {
        guard let address = disk.child("address") else { return .other }
        switch address.attribute("type") {
        case "pci": return pci(address).map { .pci($0) } ?? .other
        case "drive":
            func number(_ name: String) -> Int { address.attribute(name).flatMap { Int($0) } ?? 0 }
            // IDE, SATA and floppy controllers count from 0 too.
            let isSCSI = disk.child("target")?.attribute("bus") == "scsi"
            return .drive(
                controller: isSCSI ? controllers[number("controller")] : nil, bus: number("bus"),
                target: number("target"), unit: number("unit"))
        default: return .other
        }
    }

    private static func pci(_ address: XMLElement) -> PCIAddress? {
        func number(_ name: String) -> Int? {
            address.attribute(name).flatMap { Int($0.replacing("0x", with: ""), radix: 16) }
        }
        guard let domain = number("domain"), let bus = number("bus"), let slot = number("slot"),
            let function = number("function")
        else { return nil }
        return PCIAddress(domain: domain, bus: bus, slot: slot, function: function)
    }

    /// Every volume of a pool that the definition names, in whatever depth.
    static func volumes(in xml: String) throws(Failure) -> Set<PoolVolume> {
        let disks = try root(of: xml).child("devices")?.children("disk") ?? []
        var found: Set<PoolVolume> = []
        for disk in disks {
            var layer: XMLElement? = disk
            while let element = layer, let source = element.child("source") {
                if let volume = PoolVolume(source) { found.insert(volume) }
                layer = element.child("backingStore")
            }
        }
        return found
    }

    /// Every image path that the definition names, whatever it is used for.
    var imagePaths: Set<String> { Set(disks.flatMap { $0.facts.liveChain.map(\.path) }) }

    /// With what those images lie on by their own headers: a definition of a domain that is off names the newest alone.
    var allImagePaths: Set<String> {
        imagePaths.union(
            disks.flatMap { disk in disk.facts.liveChain.last.map { ImageChain.paths(from: $0) } ?? [] })
    }
}

/// A disk given as `<source pool=… volume=…>`.
struct PoolVolume: Hashable {
    var pool: String
    var volume: String

    init?(_ source: XMLElement) {
        guard let pool = source.attribute("pool"), let volume = source.attribute("volume") else { return nil }
        (self.pool, self.volume) = (pool, volume)
    }
}

extension XMLElement {
    func child(_ name: String) -> XMLElement? { elements(forName: name).first }
    func children(_ name: String) -> [XMLElement] { elements(forName: name) }
    func attribute(_ name: String) -> String? { attribute(forName: name)?.stringValue }
}
