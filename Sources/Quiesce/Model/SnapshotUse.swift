// SPDX-License-Identifier: Apache-2.0

/// Somebody reads the frozen images of a snapshot, or is going to: until that is over nothing may be merged into them.
public struct SnapshotUse: Sendable, Hashable {
    public enum Kind: String, Codable, Sendable {
        /// Over when its process is.
        case export
        /// The snapshot goes when the command has ended; a run whose process is gone has left it behind.
        case run
        /// Until `end`, or until its time is over.
        case begin
        /// Over when its process is.
        case copy
    }

    public enum Way: String, Codable, Sendable {
        /// Raw files.
        case fuse
        /// A socket.
        case nbd
        /// The image files themselves.
        case images
    }

    public var id: RunID
    public var kind: Kind
    /// The run that took the snapshot.
    public var run: RunID
    public var snapshot: String
    public var guest: GuestIdentity
    /// By which two steps of a job find each other.
    public var label: String?
    public var since: Timestamp
    /// When it ends by itself.
    public var until: Timestamp?
    public var way: Way
    /// Where files or socket are; nil for the images themselves.
    public var folder: String?
    /// What was made in that folder.
    public var files: [String]
    /// Who reads, or serves those who read.
    public var process: ProcessMark?
    /// Whether that process is there, at the time of asking.
    public var isServed: Bool

    public init(
        _ kind: Kind, of run: RunID, _ snapshot: String, _ guest: GuestIdentity, id: RunID = .random(),
        label: String? = nil, since: Timestamp, until: Timestamp? = nil, way: Way, folder: String? = nil,
        files: [String] = [], process: ProcessMark? = nil, isServed: Bool = true
    ) {
        (self.kind, self.run, self.snapshot, self.guest, self.id) = (kind, run, snapshot, guest, id)
        (self.label, self.since, self.until, self.way) = (label, since, until, way)
        (self.folder, self.files, self.process, self.isServed) = (folder, files, process, isServed)
    }

    /// Whether the snapshot has to stay as it is.
    public var isInTheWay: Bool { kind == .begin || isServed }

    /// Whether what it began is to be ended by whoever comes next: its time is over, or its process is gone.
    public func isOverdue(at time: Timestamp) -> Bool {
        switch kind {
        case .export, .copy: false
        case .run: !isServed
        case .begin: until.map { $0 <= time } ?? false
        }
    }

    /// `begun 2026-11-22 22:31:07.412 +01:00 as nightly, ends by itself 2026-11-23 …`
    public var words: String {
        let holder = process.map { isServed ? " by process \($0.pid)" : " by a process that is gone" } ?? ""
        switch kind {
        case .export: return "exported to \(folder ?? "?")\(holder) since \(since.local)"
        case .copy: return "being copied to \(folder ?? "?")\(holder) since \(since.local)"
        case .run: return "handed to a command\(holder) since \(since.local)"
        case .begin:
            let name = label.map { " as \($0)" } ?? ""
            return "begun \(since.local)\(name)" + (until.map { ", ends by itself \($0.local)" } ?? "")
        }
    }

    /// What ends it.
    public var remedy: String? {
        switch kind {
        case .export: "stillpoint export --stop \(guest.name) \(snapshot)"
        case .copy: nil
        case .run: isServed ? nil : "stillpoint end \(guest.name) \(run)"
        case .begin: "stillpoint end \(guest.name) \(run)"
        }
    }

    /// Why the snapshot is not merged or deleted now.
    ///
    /// - Parameter what: `merged`, `deleted`.
    public func refusal(toBe what: String) -> Failure {
        Failure(.refused, "\(snapshot) of \(guest.name) cannot be \(what) now: it is \(words)", hint: remedy)
    }
}

/// A process of this host, told from a later one with its number.
public struct ProcessMark: Sendable, Hashable {
    public var pid: Int32
    /// The boot it belongs to.
    public var boot: String
    /// Its start, in clock ticks since that boot.
    public var start: String

    public init(pid: Int32, boot: String, start: String) {
        self.pid = pid
        self.boot = boot
        self.start = start
    }
}
