// SPDX-License-Identifier: Apache-2.0

import Foundation
import FoundationXML
import Libvirt
import Quiesce

/// libvirt's QEMU driver behind the port of what changes a guest's life.
struct LibvirtLife: GuestLife {
    let guest: LibvirtGuest

    private var name: String { guest.domain.name }

    func power() async throws(Failure) -> GuestFacts.Power {
        let (state, reason) = try await guest.run("look at \(name)") { domain throws(LibvirtError) in
            try domain.state()
        }
        return GuestFacts.Power(state, reason)
    }

    func hasManagedSave() async throws(Failure) -> Bool {
        try await guest.run("look at \(name)") { domain throws(LibvirtError) in try domain.hasManagedSave() }
    }

    func askToShutDown() async throws(Failure) {
        try await guest.run("ask \(name) to shut down") { domain throws(LibvirtError) in
            do throws(LibvirtError) { try domain.shutdown() } catch {
                // It may have gone meanwhile.
                if try domain.isActive() { throw error }
            }
        }
    }

    func powerOff() async throws(Failure) {
        try await guest.run("take the power of \(name) away") { domain throws(LibvirtError) in
            guard try domain.isActive() else { return }
            do throws(LibvirtError) { try domain.destroy() } catch { if try domain.isActive() { throw error } }
        }
    }

    func start(paused: Bool, resettingNVRAM: Bool) async throws(Failure) {
        try await guest.run("start \(name)") { domain throws(LibvirtError) in
            try domain.create(paused: paused, resetNVRAM: resettingNVRAM)
        }
    }

    func resume(from file: String, naming images: [DiskTarget: ImageLayer], paused: Bool) async throws(Failure) {
        let saved = try await guest.run("read \(file)") { [connection = guest.connection] _ throws(LibvirtError) in
            try connection.savedDefinition(in: file)
        }
        let xml = try DomainDefinition.replacing(images, in: saved)
        try await guest.run("go on from \(file)") { [connection = guest.connection] _ throws(LibvirtError) in
            try connection.restore(from: file, xml: xml, paused: paused)
        }
    }

    func define(_ definition: String, with images: [DiskTarget: ImageLayer]) async throws(Failure) {
        let xml = try DomainDefinition.replacing(images, in: definition)
        try await guest.run("define \(name)") { [connection = guest.connection] _ throws(LibvirtError) in
            _ = try connection.define(xml: xml)
        }
    }

    func users(of images: Set<String>) async throws(Failure) -> (users: [String: Set<String>], raw: Set<String>) {
        let (others, live, saved, volumes) = try await guest.run("look at the other guests") {
            [connection = guest.connection] domain throws(LibvirtError) in
            let others = try connection.definitions(besides: domain)
            let (live, saved) = (try domain.xml(), try domain.isPersistent() ? domain.xml(.inactive) : nil)
            let volumes = try connection.volumes(in: others.flatMap(\.xml) + [live] + (saved.map { [$0] } ?? []))
            return (others, live, saved, volumes)
        }
        let all = try ImageUsers(others: others, of: name, live: live, saved: saved, volumes: volumes)
        return (all.users(of: images), all.raw)
    }

    func registeredSnapshots() async throws(Failure) -> [RegisteredSnapshot] {
        let found = try await guest.run("list the snapshots of \(name)") {
            domain throws(LibvirtError) -> [(xml: String, parent: String?, isCurrent: Bool)] in
            let current = try domain.currentSnapshot()?.name
            return try domain.snapshots().map { snapshot throws(LibvirtError) in
                (try snapshot.xml(secure: true), try snapshot.parentName(), snapshot.name == current)
            }
        }
        return try found.map { snapshot throws(Failure) in
            try RegisteredSnapshot(xml: snapshot.xml, parent: snapshot.parent, isCurrent: snapshot.isCurrent)
        }
    }

    func restore(
        _ snapshot: RegisteredSnapshot, replacing images: [String: ImageLayer], asCurrent: Bool
    ) async throws(Failure) {
        let xml = try snapshot.xml(replacing: images)
        try await guest.run("register the snapshot \(snapshot.name)") { domain throws(LibvirtError) in
            _ = try domain.createSnapshot(xml: xml, asCurrent ? [.redefine, .current] : [.redefine])
        }
    }

    func forget(_ name: String) async throws(Failure) {
        try await guest.run("forget the snapshot \(name)") { domain throws(LibvirtError) in
            try domain.snapshots().first { $0.name == name }?.deleteMetadata()
        }
    }
}

extension RegisteredSnapshot {
    fileprivate init(xml: String, parent: String?, isCurrent: Bool) throws(Failure) {
        let root = try DomainDefinition.root(of: xml, "domainsnapshot")
        guard let name = root.child("name")?.stringValue else {
            throw Failure(.internalError, "libvirt's description of a snapshot has no name")
        }
        var overlays: [DiskTarget: String] = [:]
        var hasInternal = false
        for disk in root.child("disks")?.children("disk") ?? [] {
            switch disk.attribute("snapshot") {
            case "external":
                guard let target = disk.attribute("name").flatMap(DiskTarget.init), let source = disk.child("source"),
                    let path = source.attribute("file") ?? source.attribute("dev")
                else { continue }
                overlays[target] = path
            case "internal": hasInternal = true
            default: break
            }
        }
        let memory = root.child("memory")?.attribute("snapshot")
        hasInternal = hasInternal || memory == "internal"
        let domain = root.child("domain").flatMap { try? DomainDefinition(xml: $0.xmlString) }
        self.init(
            name: name, parent: parent, isCurrent: isCurrent,
            kind: hasInternal ? .internal : memory == "external" ? .memory : .disks,
            createdAt: root.child("creationTime")?.stringValue.flatMap(Int64.init) ?? 0, overlays: overlays,
            images: domain?.imagePaths ?? [], xml: xml)
    }

    /// libvirt takes parent and disks from it.
    fileprivate func xml(replacing images: [String: ImageLayer]) throws(Failure) -> String {
        let root = try DomainDefinition.root(of: xml, "domainsnapshot")
        if let element = root.child("parent") {
            if let parent { element.child("name")?.stringValue = parent } else { element.detach() }
        }
        for disk in root.child("disks")?.children("disk") ?? [] where disk.attribute("snapshot") == "external" {
            guard let overlay = disk.attribute("name").flatMap({ overlays[$0] }) else {
                disk.set("snapshot", "no")
                for child in disk.children ?? [] { child.detach() }
                continue
            }
            if let source = disk.child("source"), source.attribute("file") != nil { source.set("file", overlay) }
        }
        for part in ["domain", "inactiveDomain"] {
            guard let domain = root.child(part) else { continue }
            var replaced: [DiskTarget: ImageLayer] = [:]
            for disk in try DomainDefinition(xml: domain.xmlString, named: part).disks {
                // What is written there of the layers below goes too.
                guard let image = disk.facts.activeImage,
                    disk.facts.liveChain.contains(where: { images[$0.path] != nil })
                else { continue }
                replaced[disk.facts.target] = images[image.path] ?? image
            }
            try DomainDefinition.replace(replaced, in: domain)
        }
        return root.xmlString
    }
}
