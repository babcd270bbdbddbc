// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Who has an image open for writing, by what /proc tells us: other users' processes show only to root.
enum ImageHolder {
    /// Name and id of the first process found, such as `qemu-img (4711)`.
    static func writer(of path: String) -> String? {
        var image = stat()
        guard stat(path, &image) == 0 else { return nil }
        for process in FolderEntries.of("/proc") where process.allSatisfy(\.isNumber) {
            for descriptor in FolderEntries.of("/proc/\(process)/fd") {
                var open = stat()
                guard stat("/proc/\(process)/fd/\(descriptor)", &open) == 0, open.st_dev == image.st_dev,
                    open.st_ino == image.st_ino, isWriting(text("/proc/\(process)/fdinfo/\(descriptor)"))
                else { continue }
                let name = text("/proc/\(process)/comm").utf8.prefix { $0 != 0x0A }
                return "\(ToolResult.printable(name)) (\(process))"
            }
        }
        return nil
    }

    /// proc(5): `flags:` holds the open flags in octal; the lowest two bits are the access mode.
    private static func isWriting(_ information: String) -> Bool {
        let line = information.split(separator: "\n").first { $0.hasPrefix("flags:") }
        let flags = line?.split(separator: "\t").last.flatMap { Int32($0, radix: 8) } ?? 0
        return flags & O_ACCMODE != O_RDONLY
    }

    private static func text(_ path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }
}
