// SPDX-License-Identifier: Apache-2.0

public struct GuestIdentity: Codable, Sendable, Hashable {
    public var name: String
    public var uuid: String
    public var uri: String

    public init(name: String, uuid: String, uri: String) {
        self.name = name
        self.uuid = uuid
        self.uri = uri
    }
}

public struct Versions: Codable, Sendable, Hashable {
    public var stillpoint: String
    public var libvirt: String
    public var qemu: String

    public init(stillpoint: String, libvirt: String, qemu: String) {
        self.stillpoint = stillpoint
        self.libvirt = libvirt
        self.qemu = qemu
    }
}

/// Everything a plan is made from, seen at one moment. Nothing in it is a decision.
public struct GuestFacts: Sendable {
    public enum Power: Sendable, Hashable {
        case running
        case paused(String)
        case shutOff
        case other(String)
    }

    public var guest: GuestIdentity
    public var versions: Versions
    public var power: Power
    public var isPersistent: Bool
    /// A job that holds the domain (migration, save, backup): its name in libvirt.
    public var activeJob: String?
    public var checkpoints: Int
    /// The security driver relabels each new image while the guest is frozen (`AppArmor`).
    public var relabelsWithAppArmor: Bool
    public var disks: [DiskFacts]
    public var snapshots: [String]
    public var currentSnapshot: String?
    public var agent: AgentFacts
    /// Other domains whose definition names one of this guest's images, by image path.
    public var sharedImages: [String: [String]]
    public var isWindows: Bool { agent.report?.system.isWindows ?? false }
    /// Free bytes of the filesystem that holds each folder an overlay would go to.
    public var freeBytes: [String: Int64]
    /// Why it is off; nil while it is not.
    public var stopReason: StopReason?
    /// Its memory lies in libvirt's managed save image, which names the disks as they are now.
    public var hasManagedSave = false
    /// What libvirt does when the guest powers itself off is to leave it off.
    public var staysOff = true
    /// The memory it has.
    public var memoryBytes: Int64?
    /// The file of its UEFI variables.
    public var nvram: String?
    public var hasTPM = false

    public init(
        guest: GuestIdentity, versions: Versions, power: Power, isPersistent: Bool = true, activeJob: String? = nil,
        checkpoints: Int = 0, relabelsWithAppArmor: Bool = false, disks: [DiskFacts], snapshots: [String] = [],
        currentSnapshot: String? = nil, agent: AgentFacts, sharedImages: [String: [String]] = [:],
        freeBytes: [String: Int64] = [:]
    ) {
        self.guest = guest
        self.versions = versions
        self.power = power
        self.isPersistent = isPersistent
        self.activeJob = activeJob
        self.checkpoints = checkpoints
        self.relabelsWithAppArmor = relabelsWithAppArmor
        self.disks = disks
        self.snapshots = snapshots
        self.currentSnapshot = currentSnapshot
        self.agent = agent
        self.sharedImages = sharedImages
        self.freeBytes = freeBytes
    }
}

public enum AgentFacts: Sendable {
    /// The guest does not run.
    case unasked
    /// The domain has no `org.qemu.guest_agent.0` channel.
    case noChannel
    /// The channel is there, nothing in the guest has it open.
    case notConnected
    /// Something has the channel open, but gave no usable answer.
    case silent(String)
    case answers(AgentReport)

    public var report: AgentReport? {
        if case .answers(let report) = self { report } else { nil }
    }
}

/// What the guest agent said. All of it is the guest's word.
public struct AgentReport: Sendable {
    public enum FreezeState: String, Sendable { case thawed, frozen, unknown }

    public var version: String
    /// Commands the agent has and refuses to run, or does not have, out of those a run may need.
    public var missingCommands: Set<String>
    public var system: GuestSystem
    public var filesystems: [Filesystem]
    public var freezeState: FreezeState
    /// What a look inside through guest-exec showed; nil where guest-exec is not allowed.
    public var survey: GuestSurvey?
    /// What the probes of the hooks said, in the hooks' order; those that are absent only where somebody asked for them.
    public var applications: [ApplicationFacts]

    public init(
        version: String, missingCommands: Set<String> = [], system: GuestSystem, filesystems: [Filesystem],
        freezeState: FreezeState = .thawed, survey: GuestSurvey? = nil, applications: [ApplicationFacts] = []
    ) {
        self.version = version
        self.missingCommands = missingCommands
        self.system = system
        self.filesystems = filesystems
        self.freezeState = freezeState
        self.survey = survey
        self.applications = applications
    }

    public var canExecute: Bool { missingCommands.isDisjoint(with: ["guest-exec", "guest-exec-status"]) }
    public var canFreeze: Bool {
        missingCommands.isDisjoint(with: ["guest-fsfreeze-freeze-list", "guest-fsfreeze-thaw", "guest-get-fsinfo"])
    }
}

public struct GuestSystem: Sendable, Hashable {
    /// os-release's `ID`: `debian`, `rocky`, `mswindows`.
    public var id: String
    public var prettyName: String

    public init(id: String, prettyName: String) {
        self.id = id
        self.prettyName = prettyName
    }

    public var isWindows: Bool { id == "mswindows" }
}

/// One mounted filesystem as guest-get-fsinfo names it, with its disks mapped to the host's targets.
public struct Filesystem: Sendable, Hashable {
    /// The device's name in the guest: `vda1`, `dm-0`. One filesystem mounted twice has one device.
    public var device: String
    public var mountpoint: String
    public var type: String
    /// The host's disks that carry it; empty where the guest's answer matches none.
    public var targets: Set<DiskTarget>
    /// The guest named disks of which at least one is not ours, or named none.
    public var isFullyMapped: Bool
    public var isReadOnly: Bool
    public var usedBytes: Int64?
    public var totalBytes: Int64?

    public init(
        device: String, mountpoint: String, type: String, targets: Set<DiskTarget>, isFullyMapped: Bool = true,
        isReadOnly: Bool = false, usedBytes: Int64? = nil, totalBytes: Int64? = nil
    ) {
        self.device = device
        self.mountpoint = mountpoint
        self.type = type
        self.targets = targets
        self.isFullyMapped = isFullyMapped
        self.isReadOnly = isReadOnly
        self.usedBytes = usedBytes
        self.totalBytes = totalBytes
    }
}

/// What the look inside the guest showed beyond the agent's own commands.
public struct GuestSurvey: Sendable, Hashable {
    public struct VolumeGroup: Sendable, Hashable {
        public var name: String
        public var targets: Set<DiskTarget>

        public init(name: String, targets: Set<DiskTarget>) {
            self.name = name
            self.targets = targets
        }
    }

    /// A mount of data that no block device carries, so that the agent does not list it: NFS, tmpfs, ZFS and the like.
    public struct OtherMount: Sendable, Hashable, CustomStringConvertible {
        /// As the guest has it, to be compared and not to be shown.
        public var mountpoint: String
        /// Fit to be shown.
        public let description: String
        /// What lies there is gone after any restart.
        public let isInMemory: Bool

        public init(mountpoint: String, shownAs shown: String, type: String) {
            self.mountpoint = mountpoint
            isInMemory = ["tmpfs", "ramfs"].contains(type)
            description = "\(shown) (\(type))"
        }
    }

    public var volumeGroups: [VolumeGroup]
    public var otherMounts: [OtherMount] = []
    /// Disks with members of mounted ZFS pools.
    public var zfsDisks: Set<DiskTarget> = []
    /// Why expedited RCU must stay off in this guest; nil when it may be used.
    public var expediteObstacle: String?
    public var hasSystemd: Bool

    public init(volumeGroups: [VolumeGroup] = [], expediteObstacle: String? = nil, hasSystemd: Bool = true) {
        self.volumeGroups = volumeGroups
        self.expediteObstacle = expediteObstacle
        self.hasSystemd = hasSystemd
    }
}
