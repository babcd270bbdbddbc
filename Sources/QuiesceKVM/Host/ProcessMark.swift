// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import SystemPackage

extension ProcessMark {
    /// This process.
    static var current: ProcessMark { ProcessMark(of: getpid()) }

    init(of pid: pid_t) {
        self.init(pid: pid, boot: Self.bootID, start: Self.start(ofProcess: "\(pid)") ?? "")
    }

    /// Whether that very process is there.
    var isAlive: Bool { boot == Self.bootID && !start.isEmpty && Self.start(ofProcess: "\(pid)") == start }

    static var bootID: String { words(of: "/proc/sys/kernel/random/boot_id").first ?? "" }

    /// In clock ticks since the boot, field 22 of proc_pid_stat(5); nil without such a process, or when it has ended and
    /// its parent does not know yet.
    static func start(ofProcess pid: String) -> String? {
        guard let number = pid_t(pid), number > 0 else { return nil }
        // The second field is the program's name in parentheses, which may hold anything.
        let fields = words(of: "/proc/\(number)/stat")
        guard let name = fields.lastIndex(where: { $0.hasSuffix(")") }), fields.indices.contains(name + 20),
            !["Z", "X"].contains(fields[name + 1])
        else {
            return nil
        }
        return fields[name + 20]
    }

    private static func words(of path: String) -> [String] {
        guard let file = try? OpenFile(posix { open(path, O_RDONLY | O_CLOEXEC) }), let bytes = try? file.read(4096)
        else { return [] }
        return String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace).map(String.init)
    }
}
