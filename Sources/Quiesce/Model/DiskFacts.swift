// SPDX-License-Identifier: Apache-2.0

/// One file or device of a backing chain.
public struct ImageLayer: Codable, Sendable, Hashable {
    public var path: String
    public var format: String

    public init(path: String, format: String) {
        self.path = path
        self.format = format
    }
}

/// One disk as libvirt's two definitions and QEMU's own block graph describe it.
public struct DiskFacts: Sendable, Hashable {
    public enum Device: String, Sendable { case disk, cdrom, floppy, lun }

    public enum Source: Sendable, Hashable {
        case none
        case file(String)
        case block(String)
        case volume(pool: String, name: String)
        case network(String)
        case other(String)
    }

    /// Where the disk sits in the guest's machine: what maps it to what the guest calls it.
    public enum Address: Sendable, Hashable {
        case pci(PCIAddress)
        case drive(controller: PCIAddress?, bus: Int, target: Int, unit: Int)
        case other
    }

    public var target: DiskTarget
    public var device: Device
    public var source: Source
    public var format: String
    public var isReadOnly: Bool
    public var isShareable: Bool
    public var isTransient: Bool
    public var cache: String?
    public var serial: String?
    public var address: Address
    /// The running definition's chain, newest first; empty without a medium.
    public var liveChain: [ImageLayer]
    /// The definition says nothing of what is below its last layer, so that libvirt will ask the images.
    public var isChainOpen = false
    /// The newest layer of the saved definition; nil when the domain has none or the disk is not in it.
    public var savedImage: String?
    /// QEMU's own chain, newest first; nil where QEMU was not asked or does not know the disk.
    public var qemuChain: [ImageLayer]?
    /// The chain that the images' own headers name, newest first, of a guest that is off; nil where nobody looked.
    public var headerChain: [ImageLayer]?
    /// Bytes the guest sees, as QEMU reports it; of a guest that is off, as its newest image does.
    public var virtualSizeBytes: Int64?
    /// The kind of a block job that runs on it.
    public var blockJob: String?

    public init(
        target: DiskTarget, device: Device = .disk, source: Source, format: String, isReadOnly: Bool = false,
        isShareable: Bool = false, isTransient: Bool = false, cache: String? = nil, serial: String? = nil,
        address: Address = .other, liveChain: [ImageLayer] = [], savedImage: String? = nil,
        qemuChain: [ImageLayer]? = nil, virtualSizeBytes: Int64? = nil, blockJob: String? = nil
    ) {
        self.target = target
        self.device = device
        self.source = source
        self.format = format
        self.isReadOnly = isReadOnly
        self.isShareable = isShareable
        self.isTransient = isTransient
        self.cache = cache
        self.serial = serial
        self.address = address
        self.liveChain = liveChain
        self.savedImage = savedImage
        self.qemuChain = qemuChain
        self.virtualSizeBytes = virtualSizeBytes
        self.blockJob = blockJob
    }

    /// The image the guest writes to now.
    public var activeImage: ImageLayer? { liveChain.first }

    /// Why QEMU's graph, the running and the saved definition tell different stories; nil when they agree.
    ///
    /// A daemon that dies between QEMU's switch and its own save forgets the overlay; powering the guest off would
    /// then boot the base and lose every write since (measured on libvirt 9.0).
    public var disagreement: String? {
        if let headerChain, !liveChain.isEmpty, headerChain.map(\.path) != liveChain.map(\.path) {
            return
                "\(target): the definition names \(Self.words(liveChain)), the images themselves \(Self.words(headerChain))"
        }
        // A medium that was changed live alone is no quarrel: nothing is written to it.
        guard let qemuChain, device == .disk, !isReadOnly, isComparable else { return nil }
        if qemuChain.map(\.path) != liveChain.map(\.path) {
            return "\(target): QEMU writes to \(qemuChain.first?.path ?? "nothing"),"
                + " the running definition names \(activeImage?.path ?? "nothing")"
        }
        if let savedImage, savedImage != activeImage?.path {
            return
                "\(target): QEMU writes to \(activeImage?.path ?? "nothing"), the saved definition names \(savedImage)"
        }
        return nil
    }

    private static func words(_ chain: [ImageLayer]) -> String { chain.map(\.path).joined(separator: " on ") }

    /// QEMU names a file or device as the definitions do; a network disk by a URL of its own, a pool's volume by its path.
    private var isComparable: Bool {
        switch source {
        case .file, .block: true
        // One that could not be found has no chain.
        case .volume: !liveChain.isEmpty
        case .none, .network, .other: false
        }
    }
}

public struct PCIAddress: Codable, Sendable, Hashable {
    public var domain: Int
    public var bus: Int
    public var slot: Int
    public var function: Int

    public init(domain: Int, bus: Int, slot: Int, function: Int) {
        self.domain = domain
        self.bus = bus
        self.slot = slot
        self.function = function
    }
}
