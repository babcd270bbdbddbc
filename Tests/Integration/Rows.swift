// SPDX-License-Identifier: Apache-2.0

/// The lab's write load: one durable row after the other, numbered, in each engine.
enum Rows {
    /// The highest number of each engine that its client was told is durable, as soon as all four have some.
    static func acknowledged(in guest: String) async throws -> [String: Int] {
        var told: [String: Int] = [:]
        try await Copied.until {
            told = try await numbers("report", guest)
            return told.count == 4 && told.values.allSatisfy { $0 > 0 }
        }
        return told
    }

    /// The highest number that each engine holds.
    static func present(in guest: String) async throws -> [String: Int] { try await numbers("check", guest) }

    private static func numbers(_ verb: String, _ guest: String) async throws -> [String: Int] {
        let lines = try await Program.succeed(LabGuest.lab, "load", guest, verb).split(separator: "\n")
        return lines.reduce(into: [:]) { numbers, line in
            let words = line.split(separator: " ")
            if let engine = words.first, let number = words.last { numbers[String(engine)] = Int(number) }
        }
    }
}
