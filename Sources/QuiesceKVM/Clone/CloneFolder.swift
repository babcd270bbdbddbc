// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import SystemPackage

/// Where one clone's overlays and consoles lie while it lives; its lock says that somebody sees to it.
struct CloneFolder: Sendable {
    let path: String
    private let lock: FolderLock

    /// Makes it: others may pass through, because QEMU has a user of its own, and see nothing.
    init(making path: String) throws(Failure) {
        try explaining("cannot make \(path)", else: .refused) { () throws(Errno) in
            try posix { mkdir(path, 0o711) }
            // Past the umask.
            try posix { chmod(path, 0o711) }
        }
        guard let lock = FolderLock(path) else { throw Failure(.refused, "cannot lock \(path)") }
        self.path = path
        self.lock = lock
    }

    /// One that is there already; nil while another process sees to it.
    init?(takingOver path: String) {
        guard let lock = FolderLock(path) else { return nil }
        self.path = path
        self.lock = lock
    }

    func remove() async { await WorkFolder(path: path).remove(holding: lock) }

    func overlay(_ target: DiskTarget) -> String { Self.overlay(target, in: path) }

    static func overlay(_ target: DiskTarget, in folder: String) -> String { "\(folder)/\(target).qcow2" }
    static func nvram(in folder: String) -> String { "\(folder)/nvram.fd" }

    /// The console's last lines without what would move a terminal's cursor.
    func console(lines count: Int) -> [String] {
        guard let file = try? OpenFile(posix { open("\(path)/console.log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW) }),
            let size = try? file.status().size,
            let bytes = try? file.read(16 << 10, at: max(0, Int(clamping: size) - 16 << 10))
        else { return [] }
        let lines = Self.plain(bytes).split(whereSeparator: { $0 == 0x0A || $0 == 0x0D })
        return lines.map(ToolResult.printable).filter { !$0.isEmpty }.suffix(count)
    }

    /// Without the escape sequences of ECMA-48: ESC, and after `[` up to a byte from `@` on.
    static func plain(_ bytes: [UInt8]) -> [UInt8] {
        var plain: [UInt8] = []
        var rest = bytes[...]
        while let byte = rest.popFirst() {
            guard byte == 0x1B else {
                plain.append(byte)
                continue
            }
            guard rest.popFirst() == UInt8(ascii: "[") else { continue }
            while let byte = rest.popFirst(), !(0x40...0x7E).contains(byte) {}
        }
        return plain
    }
}
