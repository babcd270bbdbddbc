// SPDX-License-Identifier: Apache-2.0

/// Which disks a snapshot is to cut. The three styles do not mix.
public enum Selection: Sendable, Hashable {
    case all
    /// These alone (`--disk`).
    case only([DiskTarget])
    /// All but these (`--exclude`).
    case excluding([DiskTarget])
    /// virsh's `--diskspec`, with its meaning: unlisted disks are included.
    case specs([DiskSpec])
}

/// virsh's `--diskspec T[,snapshot=external|no|internal][,file=PATH]`.
public struct DiskSpec: Sendable, Hashable {
    public enum Mode: String, Sendable { case external, no, `internal` }

    public var target: DiskTarget
    public var mode: Mode
    public var file: String?

    public init(target: DiskTarget, mode: Mode = .external, file: String? = nil) {
        self.target = target
        self.mode = mode
        self.file = file
    }

    /// Reads virsh's grammar; a comma inside a value is written twice, as in virsh.
    public init(_ text: String) throws(Failure) {
        let parts = Self.split(text)
        guard let first = parts.first, let target = DiskTarget(first) else {
            throw Failure(
                .usage, "'\(text)' does not begin with a disk such as vda", hint: "--diskspec vdb,snapshot=no")
        }
        self.init(target: target)
        for part in parts.dropFirst() {
            if part.hasPrefix("snapshot=") {
                let word = String(part.dropFirst("snapshot=".count))
                guard let mode = Mode(rawValue: word) else {
                    throw Failure(.usage, "'\(text)': snapshot is external, no or internal, not '\(word)'")
                }
                self.mode = mode
            } else if part.hasPrefix("file=") {
                file = String(part.dropFirst("file=".count))
            } else {
                throw Failure(.usage, "'\(text)': only snapshot= and file= are known here, not '\(part)'")
            }
        }
        if let file, !file.hasPrefix("/") {
            throw Failure(.usage, "'\(text)': file= wants an absolute path, not '\(file)'")
        }
        if mode != .external, file != nil {
            throw Failure(.usage, "'\(text)': file= goes with snapshot=external only")
        }
    }

    private static func split(_ text: String) -> [String] {
        var parts = [""]
        var rest = Substring(text)
        while let letter = rest.popFirst() {
            if letter != "," {
                parts[parts.endIndex - 1].append(letter)
            } else if rest.first == "," {
                rest.removeFirst()
                parts[parts.endIndex - 1].append(",")
            } else {
                parts.append("")
            }
        }
        return parts
    }
}

/// What the caller wants of one run.
public struct SnapshotRequest: Sendable {
    /// The freeze alone is given a second, and the thaw needs its own.
    public static let shortestWindow = Duration.seconds(2)
    /// The longest window any run may ask for.
    public static let longestWindow = Duration.seconds(30)
    /// VSS gives up after ten seconds by itself, so a Windows guest gets less.
    public static let longestWindowsWindow = Duration.seconds(8)

    /// Room for a window of its own, and what applications can bear.
    public static let holds = Duration.seconds(2)...Duration.seconds(600)

    public var selection: Selection = .all
    /// Disks the configuration leaves out, with the reason to print.
    public var exclusions: [DiskTarget: String] = [:]
    public var name: SnapshotName
    /// One that nobody chose gives way to what is there already.
    public var isNameChosen = true
    public var note: String?
    /// The level below which the snapshot is undone.
    public var required: Consistency?
    /// What the configuration asks for; missing it is told by the exit status, and the snapshot stays.
    public var configured: Consistency?
    public var freezes = true
    /// Everything but the cut and what belongs to it.
    public var isDrill = false
    public var runsHooks = true
    /// The hooks to probe, in the order in which they take their locks.
    public var hooks: [HookChoice] = []
    /// From the first lock to its release; hooks let go by themselves after it.
    public var maxHold = Duration.seconds(15)
    public var registers = true
    public var expedites = true
    public var maxFreeze = Duration.seconds(5)
    public var chainLimits = ChainLimits()
    /// The guest is shut down for the cut, with so much time for it, and started again.
    public var shutsDown: Duration?
    /// RAM and processor state go to this file too.
    public var memoryFile: String?
    /// Inside the qcow2 images, without overlays.
    public var isInternal = false

    public init(name: SnapshotName) { self.name = name }

    /// The level the run is judged against: what is required, else configured, else the best that the guest asks for by
    /// what runs on it; as far as what is switched off allows.
    func asked(knowingOfApplications found: Bool) -> Consistency {
        if let required { return required }
        guard freezes else { return .crash }
        guard runsHooks else { return min(configured ?? .filesystem, .filesystem) }
        return configured ?? (found ? .application : .filesystem)
    }
}

/// How deep a backing chain may get.
public struct ChainLimits: Sendable, Hashable {
    public var warn = 8
    public var refuse = 30

    public init(warn: Int = 8, refuse: Int = 30) {
        self.warn = warn
        self.refuse = refuse
    }
}

extension Selection {
    /// Overlay paths that the caller chose.
    var files: [DiskTarget: String] {
        guard case .specs(let specs) = self else { return [:] }
        return specs.reduce(into: [:]) { files, spec in files[spec.target] = spec.file }
    }
}

extension SnapshotRequest {
    /// Folders of overlays that the caller chose.
    public var overlayFolders: [String] {
        selection.files.values.map(OverlayNames.folder) + (memoryFile.map { [OverlayNames.folder(of: $0)] } ?? [])
    }
}
