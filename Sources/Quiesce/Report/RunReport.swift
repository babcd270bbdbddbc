// SPDX-License-Identifier: Apache-2.0

/// The whole of one run, as `snapshot --json` prints it and as the manifest keeps it (`stillpoint.run/v1`).
public struct RunReport: Codable, Sendable {
    public struct Cut: Codable, Sendable {
        /// The host's clock in the middle of the transaction.
        public var at: Timestamp
        /// The guest's clock at that moment, by an offset measured before the freeze.
        public var guestAt: Timestamp?
        /// How far `guestAt` may be off.
        public var skewMs: Int64?
    }

    public struct Starter: Codable, Sendable, Hashable {
        public var uid: Int
        public var user: String

        public init(uid: Int, user: String) {
            self.uid = uid
            self.user = user
        }
    }

    public static let schema = "stillpoint.run/v1"
    /// No cut was made: the verdict says what would have been reached.
    public static let drillSchema = "stillpoint.drill/v1"

    public var schema: String
    public var run: String
    public var startedAt: Timestamp
    public var finishedAt: Timestamp
    public var required: Consistency
    public var verdict: Verdict
    public var exit: Int32
    /// What ended the run before its end; nil when it went all the way.
    public var error: Cause?
    public var cut: Cut?
    public var versions: Versions
    public var startedBy: Starter
    public var members: [MemberReport]
}

/// One guest's part in a run.
public struct MemberReport: Codable, Sendable {
    public enum Presence: String, Codable, Sendable { case armed, absent }
    public enum Transport: String, Codable, Sendable { case guestExec = "guest-exec", dropIn = "drop-in", none }

    public struct Agent: Codable, Sendable {
        public var version: String
        public var transport: Transport
    }

    public struct Disk: Codable, Sendable {
        public var target: DiskTarget
        public var frozenImage: String
        /// Newest first, the frozen image at its head.
        public var chain: [ImageLayer]
        public var overlay: String
        public var format: String
        public var virtualSizeBytes: Int64
    }

    public struct Excluded: Codable, Sendable {
        public var target: DiskTarget
        public var reason: String
    }

    public struct Snapshot: Codable, Sendable {
        public var name: String
        public var description: String?
        public var disks: [Disk]
        public var excluded: [Excluded]
        /// Nil for overlays on the frozen images.
        public var kind: Kind?
        /// RAM and processor state of the same moment.
        public var memory: Memory?
        /// UEFI variables as they were right after the cut, kept beside the manifest.
        public var nvram: Variables?
        /// What the guest has and the snapshot does not: `tpm`.
        public var notIncluded: [String]?
    }

    public enum Kind: String, Codable, Sendable {
        /// Inside the images: `frozenImage` and `overlay` are the image itself.
        case inside = "internal"
    }

    public struct Memory: Codable, Sendable, Hashable {
        public var file: String
        public var bytes: Int64
    }

    public struct Variables: Codable, Sendable, Hashable {
        public static let file = "nvram.fd"

        /// Where the guest has them.
        public var source: String
        /// The copy's name beside the manifest.
        public var file: String
        public var sha256: String
    }

    public struct GuestCounts: Codable, Sendable, Hashable {
        public var frozen: Int?
        public var thawed: Int?
    }

    public struct Freeze: Codable, Sendable, Hashable {
        public var mountpoints: [String]
        public var notFreezable: [String]
        public var expected: Int
        public var guestReported: GuestCounts
        public var windowMs: Int64
        /// What the hooks took while locks could be held, before the window and after it.
        public var hookMs: Int64
        public var maxFreezeMs: Int64
    }

    /// What a hook did for one instance of an application; its words are the guest's.
    public struct Application: Codable, Sendable {
        public enum Status: String, Codable, Sendable { case prepared, skipped, failed, notReleased }

        /// It ran when the disks were cut.
        public var hasRun: Bool { status != .skipped }

        public struct Artifact: Codable, Sendable {
            public var name: String
            public var sha256: String
        }

        public var name: String
        public var instance: String?
        public var version: String?
        public var role: ApplicationFacts.Role?
        public var status: Status
        public var reason: String?
        public var policy: HookPolicy
        /// Of the hook as it was sent.
        public var sha256: String
        /// Whether the lock held throughout; nil where none is needed.
        public var held: Bool?
        public var holdMs: Int64?
        /// How long each verb took, seen from the host. Of locks that were taken in turn each has the time of them all.
        public var tookMs: [String: Int64]
        public var position: Position?
        public var facts: [String: Position.Value]
        public var artifacts: [Artifact]

        init(
            _ found: ApplicationFacts, _ status: Status, _ reason: String? = nil, held: Bool? = nil,
            holdMs: Int64? = nil, tookMs: [String: Int64] = [:], position: Position? = nil,
            facts: [String: Position.Value] = [:],
            artifacts: [Artifact] = []
        ) {
            name = found.choice.hook.name
            instance = found.instance
            version = found.version
            role = found.role
            self.status = status
            self.reason = reason
            policy = found.choice.policy
            sha256 = found.choice.hook.sha256
            self.held = held
            self.holdMs = holdMs
            self.tookMs = tookMs
            self.position = position
            self.facts = facts
            self.artifacts = artifacts
        }
    }

    public struct Verification: Codable, Sendable {
        public var chain: Check
        public var filesystem: Check
        public var application: Check
    }

    public var domain: GuestIdentity
    public var agent: Agent?
    public var deadMan: DeadMan
    public var guardian: Presence
    public var snapshot: Snapshot?
    public var freeze: Freeze?
    public var applications: [Application]
    public var phases: [PhaseReport]
    public var verification: Verification
}

public struct Check: Codable, Sendable, Hashable {
    public enum Result: String, Codable, Sendable { case ok, failed, notChecked }

    public var result: Result
    public var detail: String

    public init(_ result: Result, _ detail: String) {
        self.result = result
        self.detail = detail
    }
}

public struct PhaseReport: Codable, Sendable, Hashable {
    public enum Status: String, Codable, Sendable { case ok, failed, skipped }

    public var name: Phase
    public var status: Status
    /// Since the run began.
    public var startMs: Int64
    public var tookMs: Int64
    public var detail: String?
}

/// The phases in the order of a run.
public enum Phase: String, Codable, Sendable, CaseIterable {
    case preflight, stage, shutdown, prepare
    case preFreeze = "pre-freeze"
    case freeze, cut, thaw
    case postThaw = "post-thaw"
    case start, register, verify, undo
}
