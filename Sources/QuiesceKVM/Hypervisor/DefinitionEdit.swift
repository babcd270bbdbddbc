// SPDX-License-Identifier: Apache-2.0

import Foundation
import FoundationXML
import Quiesce

extension DomainDefinition {
    /// The saved definition with other images under these disks, everything else as it was.
    ///
    /// `<backingStore>` goes: left in, libvirt believes it over the image's own header, and boots the layer that was to be
    /// replaced without a word (measured on 9.0). A volume of a pool or a block device becomes a file like the overlay
    /// that stands on it.
    ///
    /// - Throws: `.internalError` for what is no definition, `.noSuchThing` for a disk that it does not have.
    static func replacing(_ images: [DiskTarget: ImageLayer], in xml: String) throws(Failure) -> String {
        let domain = try root(of: xml)
        try replace(images, in: domain)
        return domain.xmlString
    }

    static func replace(_ images: [DiskTarget: ImageLayer], in domain: XMLElement) throws(Failure) {
        var missing = images
        for disk in domain.child("devices")?.children("disk") ?? [] {
            guard let name = disk.child("target")?.attribute("dev"), let target = DiskTarget(name),
                let image = missing.removeValue(forKey: target)
            else { continue }
            disk.put(image)
        }
        if let target = missing.keys.min() {
            throw Failure(.noSuchThing, "the saved definition has no disk \(target) any more")
        }
    }
}

extension XMLElement {
    fileprivate func put(_ image: ImageLayer) {
        // The kind of a source stays where its path does: a merge can lead back to a block device.
        let isDevice = image.path.hasPrefix("/dev/")
        set("type", isDevice ? "block" : "file")
        let source = child("source") ?? addedChild("source")
        for name in ["file", "dev", "pool", "volume", "mode", "index"] {
            source.removeAttribute(forName: name)
        }
        source.set(isDevice ? "dev" : "file", image.path)
        (child("driver") ?? addedChild("driver")).set("type", image.format)
        for name in ["backingStore", "mirror"] {
            for old in children(name) { old.detach() }
        }
    }

    private func addedChild(_ name: String) -> XMLElement {
        let element = XMLElement(name: name)
        addChild(element)
        return element
    }

    func set(_ name: String, _ value: String) {
        removeAttribute(forName: name)
        let attribute = XMLNode(kind: .attribute)
        attribute.name = name
        attribute.stringValue = value
        addAttribute(attribute)
    }
}
