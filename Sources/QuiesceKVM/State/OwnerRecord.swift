// SPDX-License-Identifier: Apache-2.0

import FoundationXML
import Glibc
import GuestAgent
import Quiesce

/// Who is changing a guest, as its live metadata tell it to whoever does not see this host's locks: the coordinator of
/// another host, or of a container with folders of its own.
struct OwnerRecord: Equatable {
    static let namespace = "https://stillpoint.dev/owner/1"
    static let prefix = "stillpoint"

    var run: String
    var command: String
    var host: String
    var pid: String
    var since: String
    /// By these two a process is told from a later one with its number.
    private var boot: String
    private var start: String

    /// This process.
    init(_ run: RunID, _ command: String, at time: Timestamp) {
        self.run = run.description
        self.command = command
        host = Self.hostName
        let mark = ProcessMark.current
        pid = "\(mark.pid)"
        since = time.utc
        boot = mark.boot
        start = mark.start
    }

    /// Nil if that is no such record. Anybody who may change the domain may have written it.
    init?(xml: String) {
        guard let owner = try? DomainDefinition.root(of: xml, "owner"), let run = owner.attribute("run"),
            let command = owner.attribute("command"), let host = owner.attribute("host"),
            let pid = owner.attribute("pid"), let since = owner.attribute("since"), let boot = owner.attribute("boot"),
            let start = owner.attribute("start")
        else { return nil }
        (self.run, self.command, self.host, self.pid) = (run, command, host, pid)
        (self.since, self.boot, self.start) = (since, boot, start)
    }

    var xml: String {
        SnapshotXML.element(
            "owner",
            [
                "run": run, "command": command, "host": host, "pid": pid, "since": since, "boot": boot, "start": start,
            ]
        ).xmlString
    }

    /// Certain only of this host: elsewhere a process cannot be looked for.
    var hasEnded: Bool {
        host == Self.hostName && boot == ProcessMark.bootID
            && (start.isEmpty || ProcessMark.start(ofProcess: pid) != start)
    }

    /// `snapshot by process 4711 on kvm2 since 2026-11-22T21:31:07.412Z`
    var description: String {
        "\(command) by process \(pid) on \(host) since \(since)".printable(limit: 256)
    }

    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "?" }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
