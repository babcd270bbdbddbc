// SPDX-License-Identifier: Apache-2.0

extension Superblock.Checker {
    /// What a checker says, and in which words.
    struct Outcome: Sendable {
        let result: FilesystemFinding.Result
        let detail: String
    }

    /// Checks the filesystem in `file`, which may be written to.
    func check(_ file: String, deadline: ContinuousClock.Instant) async throws(StorageDaemonError) -> Outcome {
        do throws(ToolError) {
            switch self {
            case .e2fsck: return try await Self.e2fsck(file, deadline)
            case .btrfs: return try await Self.btrfs(file, deadline)
            case .xfsRepair: return try await Self.xfsRepair(file, deadline)
            }
        } catch {
            switch error {
            case .cancelled: throw .cancelled
            // A checker that is not here, or not done, says nothing about the filesystem.
            case .notFound, .failedToStart, .timedOut: return Outcome(result: .notChecked, detail: "\(error)")
            case .outputTooLarge: return Outcome(result: .failed, detail: "the checker has no end of complaints")
            }
        }
    }

    /// e2fsck(8). A frozen ext4 may hold orphaned inodes (deleted, still open), which `-n` alone calls an error, so it is
    /// preened first, as it would be at the next boot: exit status 0 is clean, 1 is corrected.
    private static func e2fsck(_ file: String, _ deadline: ContinuousClock.Instant) async throws(ToolError) -> Outcome {
        let tool = try Tool("e2fsck", package: "e2fsprogs")
        let preened = try await tool.run(["-p", file], deadline: deadline)
        switch preened.status {
        case .exited(0), .exited(1): break
        case .exited(let status) where status & 4 != 0:
            return Outcome(result: .failed, detail: "e2fsck -p: \(preened.finding)")
        default:
            // 8 and above: it could not work, for example with a feature newer than itself.
            return Outcome(result: .notChecked, detail: "e2fsck -p: \(preened.finding)")
        }
        let checked = try await tool.run(["-f", "-n", file], deadline: deadline)
        switch checked.status {
        case .exited(0):
            let repaired = preened.status == .exited(1) ? "clean after preening" : "clean"
            return Outcome(result: .ok, detail: "e2fsck: \(repaired)")
        case .exited(let status) where status & 4 != 0:
            return Outcome(result: .failed, detail: "e2fsck -fn: \(checked.finding)")
        default:
            return Outcome(result: .notChecked, detail: "e2fsck -fn: \(checked.finding)")
        }
    }

    /// btrfs-check(8), which knows one failing status.
    private static func btrfs(_ file: String, _ deadline: ContinuousClock.Instant) async throws(ToolError) -> Outcome {
        let tool = try Tool("btrfs", package: "btrfs-progs")
        let checked = try await tool.run(["check", "--readonly", file], deadline: deadline)
        if checked.succeeded { return Outcome(result: .ok, detail: "btrfs check: clean") }
        let unsupported = String(decoding: checked.errors, as: UTF8.self).contains("unsupported")
        return Outcome(result: unsupported ? .notChecked : .failed, detail: "btrfs check: \(checked.reason)")
    }

    /// xfs_repair(8) of a file, without modifying it: 0 is clean, 1 corrupt, 2 a log to be replayed.
    private static func xfsRepair(_ file: String, _ deadline: ContinuousClock.Instant) async throws(ToolError)
        -> Outcome
    {
        let tool = try Tool("xfs_repair", package: "xfsprogs")
        let checked = try await tool.run(["-n", "-f", file], deadline: deadline)
        switch checked.status {
        case .exited(0): return Outcome(result: .ok, detail: "xfs_repair -n: clean")
        case .exited(1): return Outcome(result: .failed, detail: "xfs_repair -n: \(checked.finding)")
        default: return Outcome(result: .notChecked, detail: "xfs_repair -n: \(checked.reason)")
        }
    }
}

extension ToolResult {
    /// The first complaint: e2fsck names itself and its passes around it.
    fileprivate var finding: String {
        let lines = (output + [0x0A] + errors).split(whereSeparator: { $0 == 0x0A || $0 == 0x0D }).map(Self.printable)
        return lines.first { !$0.isEmpty && !$0.hasPrefix("Pass ") && !$0.hasPrefix("e2fsck ") } ?? "\(status)"
    }
}
