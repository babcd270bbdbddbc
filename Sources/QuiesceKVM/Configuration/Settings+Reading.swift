// SPDX-License-Identifier: Apache-2.0

import Glibc
public import Quiesce
import SystemPackage
import Yams

extension Settings {
    public static let standardFolder = "/etc/stillpoint"
    static let largest = 256 << 10

    /// Reads that file alone, which has to be there; or, for nil, the standard ones as far as they are.
    public init(file: String? = nil) throws(Failure) {
        if let file {
            self.init()
            try add(file)
        } else {
            try self.init(folder: Self.standardFolder)
        }
    }

    init(folder: String) throws(Failure) {
        self.init()
        let main = "\(folder)/config.yaml"
        if try Self.exists(main) { try add(main) }
        let extra = "\(folder)/conf.d"
        let names = try explaining("cannot read \(extra)", else: .configuration) { () throws(Errno) -> [String] in
            do throws(Errno) { return try Folder(extra).names() } catch .noSuchFileOrDirectory { return [] }
        }
        for name in names.sorted() where name.hasSuffix(".yaml") && !name.hasPrefix(".") {
            try add("\(extra)/\(name)")
        }
    }

    private static func exists(_ file: String) throws(Failure) -> Bool {
        if access(file, F_OK) == 0 { return true }
        let reason = Errno(rawValue: errno)
        if reason == .noSuchFileOrDirectory { return false }
        throw Failure(reason, "cannot read \(file)", else: .configuration)
    }

    private mutating func add(_ file: String) throws(Failure) {
        let bytes = try explaining("cannot read \(file)", else: .configuration) { () throws(Errno) in
            try OpenFile(posix { open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }).read(Self.largest + 1)
        }
        guard bytes.count <= Self.largest else {
            throw Failure(.configuration, "\(file): larger than \(ByteCount(Int64(Self.largest)))")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw Failure(.configuration, "\(file): not UTF-8")
        }
        try add(text, from: file)
        files.append(file)
    }
}
