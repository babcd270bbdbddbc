// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce

/// Ends a begun run when its time is over, by a transient timer of the host's systemd. Where there is none, or after a
/// boot, the next command on that guest does.
struct LifeTimer: Sendable {
    let use: SnapshotUse
    let uri: String
    let state: String

    /// Only the system's: it outlives the session of whoever began.
    private static var isThere: Bool { geteuid() == 0 && access("/run/systemd/system", F_OK) == 0 }

    var unit: String { "stillpoint-end-\(use.run)" }

    func arguments(program: String, seconds: Int64) -> [String] {
        [
            "--quiet", "--collect", "--unit=\(unit)", "--description=End of \(use.snapshot) of \(use.guest.name)",
            "--on-active=\(max(1, seconds))s", "--timer-property=AccuracySec=1s", "--", program, "--connect", uri,
            "--state-dir", state, "end", use.guest.uuid, use.run.description, "--wait", "10m",
        ]
    }

    /// Says why it could not be set; nil also where there is no systemd.
    func set(now: Timestamp) async -> String? {
        guard Self.isThere, let until = use.until else { return nil }
        let seconds = (until.milliseconds &- now.milliseconds) / 1000
        return await run("systemd-run", arguments(program: Self.program, seconds: seconds))
    }

    func cancel() async {
        guard Self.isThere else { return }
        _ = await run("systemctl", ["--quiet", "stop", "\(unit).timer"])
    }

    private func run(_ name: String, _ arguments: [String]) async -> String? {
        do {
            let ended = try await Tool(name, package: "systemd").run(arguments, deadline: .now + .seconds(10))
            return ended.succeeded ? nil : "\(name): \(ended.reason)"
        } catch {
            return "\(error)"
        }
    }

    private static var program: String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        return String(decoding: buffer.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
