// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// Where things are on this host.
enum Place {
    static let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    static let isLabWanted = ProcessInfo.processInfo.environment["STILLPOINT_LAB"].map { !$0.isEmpty } ?? false

    /// Names of the tests' own domains begin with it; two runs on one machine take different ones.
    static let guestPrefix = ProcessInfo.processInfo.environment["STILLPOINT_LAB_PREFIX"] ?? "stillpoint-lab-it"

    /// A folder of its own for `body`, gone afterwards.
    static func withFolder<Value>(_ body: (String) async throws -> Value) async throws -> Value {
        let folder = try makeFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        return try await body(folder)
    }

    /// - Parameter parent: for what is too large for the usual place.
    static func makeFolder(in parent: String = NSTemporaryDirectory()) throws -> String {
        var template = Array("\((parent as NSString).appendingPathComponent("stillpoint-it-XXXXXX"))".utf8CString)
        return String(cString: try #require(mkdtemp(&template)))
    }
}

enum Processes {
    /// Command lines that hold `text`.
    static func naming(_ text: String) -> [String] {
        let numbers = (try? FileManager.default.contentsOfDirectory(atPath: "/proc"))?.filter { Int($0) != nil } ?? []
        return numbers.compactMap { number in
            guard let data = FileManager.default.contents(atPath: "/proc/\(number)/cmdline") else { return nil }
            let line = String(decoding: data.map { $0 == 0 ? 0x20 : $0 }, as: UTF8.self)
            return line.contains(text) ? "\(number) \(line)" : nil
        }
    }
}
