// SPDX-License-Identifier: Apache-2.0

/// A guest's power, its saved definition, and what libvirt remembers of its snapshots: what going back to one needs.
public protocol GuestLife: Sendable {
    func power() async throws(Failure) -> GuestFacts.Power

    /// Its memory lies in a managed save image, from which the next start would go on.
    func hasManagedSave() async throws(Failure) -> Bool

    /// Asks the guest to shut down and returns at once; it may take its time, or not do it at all.
    func askToShutDown() async throws(Failure)

    /// Takes the power away. Fine when there is none.
    func powerOff() async throws(Failure)

    func start(paused: Bool, resettingNVRAM: Bool) async throws(Failure)

    /// Has a guest that is off go on where its memory was saved, with these images in place of those it knew, whose content
    /// has to be that of the same moment. The file stays.
    func resume(from file: String, naming images: [DiskTarget: ImageLayer], paused: Bool) async throws(Failure)

    /// Saves this definition with other images under some of its disks, as the next start is to find it.
    func define(_ definition: String, with images: [DiskTarget: ImageLayer]) async throws(Failure)

    /// Which of these images others name in whatever layer of their chains, and who: domains, and the guest's own saved
    /// definition where the running one does not. By the file, however its path is spelled.
    ///
    /// - Returns: also the images that any of them has as raw: their first sectors are their guest's to write, and say nothing.
    func users(of images: Set<String>) async throws(Failure) -> (users: [String: Set<String>], raw: Set<String>)

    /// Every snapshot that libvirt keeps metadata of, parents first.
    func registeredSnapshots() async throws(Failure) -> [RegisteredSnapshot]

    /// Makes libvirt know it, in place of what it knows under that name.
    ///
    /// - Parameter images: what the guest's definition in it is to name instead of layers that have been merged.
    func restore(_ snapshot: RegisteredSnapshot, replacing images: [String: ImageLayer], asCurrent: Bool)
        async throws(Failure)

    /// Makes libvirt forget it and touches no image; fine when it does not know it.
    func forget(_ name: String) async throws(Failure)
}

/// What libvirt remembers of one snapshot.
public struct RegisteredSnapshot: Codable, Sendable, Hashable {
    public enum Kind: String, Codable, Sendable { case disks, memory, `internal` }

    public var name: String
    public var parent: String?
    public var isCurrent: Bool
    public var kind: Kind
    /// Seconds since 1970.
    public var createdAt: Int64
    /// The new layer of each disk that was cut and that it still holds; of others libvirt is told no more.
    public var overlays: [String: String]
    /// Images that the definition kept in it names.
    public var images: Set<String>
    /// Whole, passwords included: what it takes to bring it back.
    public var xml: String

    public init(
        name: String, parent: String? = nil, isCurrent: Bool = false, kind: Kind = .disks, createdAt: Int64 = 0,
        overlays: [DiskTarget: String] = [:], images: Set<String> = [], xml: String = ""
    ) {
        self.name = name
        self.parent = parent
        self.isCurrent = isCurrent
        self.kind = kind
        self.createdAt = createdAt
        self.overlays = overlays.reduce(into: [:]) { $0[$1.key.description] = $1.value }
        self.images = images
        self.xml = xml
    }
}
