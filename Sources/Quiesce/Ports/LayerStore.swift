// SPDX-License-Identifier: Apache-2.0

/// Images as layers of chains: what they stand on and who stands on them, by their own headers.
public protocol LayerStore: Sendable {
    /// The chain below and including that image, newest first. Every layer has to name the next one's format.
    func chain(of image: ImageLayer) async throws(Failure) -> [ImageLayer]

    /// Other images in the folders of these that name one of them as their backing file, by the image they stand on.
    ///
    /// - Parameter raw: images whose first sectors say nothing.
    func imagesLying(
        on images: Set<String>, apartFrom raw: Set<String>
    ) async throws(Failure) -> [String: Set<String>]

    /// Those that a QEMU process has open, for reading or writing.
    func open(among images: [String]) async throws(Failure) -> [String]

    /// Bytes the guest sees of it.
    func virtualSize(of image: ImageLayer) async throws(Failure) -> Int64

    /// What it takes on the host's disk; nil where that cannot be asked, as for a block device.
    func allocatedBytes(of image: String) async -> Int64?

    /// Nil where images do not grow, or nobody can say.
    func freeBytes(in folder: String) async -> Int64?

    /// Merges the layers from `top` down to above `base` into it, with QEMU's locking on. Interrupted, too slow or out of
    /// space, `top` is whole as before and the merge can be made again; `base` alone is worth nothing until then.
    ///
    /// - Parameters:
    ///   - options: the limit is for this merge alone.
    ///   - progress: from 0 to 1.
    func merge(
        _ top: ImageLayer, into base: ImageLayer, options: MergeOptions, progress: @escaping @Sendable (Double) -> Void
    ) async throws(Failure)

    /// Has the image's header name another one with the same content as its backing file.
    func rest(_ image: ImageLayer, on base: ImageLayer) async throws(Failure)
}

/// The branches that reverts left behind.
public protocol BranchCatalogue: Sendable {
    /// - Parameters:
    ///   - definition: the guest's saved one from before the revert.
    ///   - variables: its UEFI variables from before it.
    func keep(_ branch: Branch, definition: String, variables: [UInt8]?) async throws(Failure)
    /// The UEFI variables that were kept with a snapshot, by its run, or with a branch; nil if none were.
    func variables(of run: RunID) async throws(Failure) -> [UInt8]?
    /// Oldest first.
    func branches(of guest: GuestIdentity) async throws(Failure) -> [Branch]
    /// What is abandoned has changed: its leaves, or the snapshots it remembers.
    func change(_ branch: Branch) async throws(Failure)
    func drop(_ branch: RunID) async throws(Failure)
    /// Where a snapshot's disks lie now that layers have been merged.
    func move(_ disks: [MemberReport.Disk], of run: RunID, _ guest: GuestIdentity) async throws(Failure)
}

/// What a revert left behind: the images the guest wrote to until then, and what libvirt knew of the snapshots on them.
public struct Branch: Codable, Sendable, Hashable {
    public struct Leaf: Codable, Sendable, Hashable {
        public var target: DiskTarget
        public var image: ImageLayer
    }

    /// The run that left it.
    public var run: RunID
    public var guest: GuestIdentity
    public var leftAt: Timestamp
    /// What the guest went to instead.
    public var revertedTo: String
    public var leaves: [Leaf]
    /// libvirt's current snapshot until then.
    public var current: String?
    /// Snapshots that libvirt was made to forget with it, parents first.
    public var forgotten: [RegisteredSnapshot]
    /// Layers that have been merged since, and what they went into.
    public var merged: [String: ImageLayer]
}

extension RunID: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let run = RunID(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a run: \(text)")
        }
        self = run
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
