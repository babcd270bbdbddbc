// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@Suite("failpoints")
struct FailpointTests {
    /// What a build for `Tests/Faults` has in it, and its `run` looks for there.
    private static let marker = Data("STILLPOINT_FAILPOINT_MARK".utf8)

    @Test("an ordinary build has none")
    func absent() throws {
        let folder = URL(filePath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
            .deletingLastPathComponent()
        for program in ["stillpoint", "stillpoint-guard"] {
            let binary = try Data(contentsOf: folder.appending(path: program), options: .alwaysMapped)
            #expect(binary.range(of: Self.marker) == nil, "\(program) was built with failpoints")
        }
    }
}
