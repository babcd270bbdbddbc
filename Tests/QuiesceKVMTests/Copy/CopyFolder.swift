// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Quiesce
@testable import QuiesceKVM

/// A folder as `copy` makes it, to be spoiled by a test: one disk of 16 MiB.
struct CopyFolder {
    let images: Images
    var path: String { images.scratch.path }

    init() async throws {
        images = try Images()
        try await images.make("vda.qcow2")
        try write("manifest.json", try Self.report())
        try write("domain.xml", Self.definition)
        try write("copy.json", "{}\n")
        try seal()
    }

    static let definition = """
        <domain type='qemu'><name>db01</name><uuid>\(GuestIdentity.db01.uuid)</uuid><memory>32768</memory>\
        <os><type>hvm</type></os><devices/></domain>
        """

    static func report(_ change: (inout RunReport) throws -> Void = { _ in }) throws -> String {
        var report = try RunReport.example(overlays: ["/srv/overlay"])
        report.members[0].snapshot?.disks[0].virtualSizeBytes = 16 << 20
        try change(&report)
        return try JSONText.of(report) + "\n"
    }

    func write(_ name: String, _ text: String) throws {
        try? FileManager.default.removeItem(atPath: images.scratch(name))
        try images.scratch.write(text, to: name)
    }

    /// The digests of what lies there now.
    func seal() throws {
        let sealed = try Shell.run(
            #"cd "$1" && rm -f SHA256SUMS && sha256sum -- * >../"$2" && mv ../"$2" SHA256SUMS"#,
            [path, "sums-\(UUID().uuidString)"])
        try #require(sealed.status == 0)
    }

    func read(_ interruption: Interruption = Interruption()) throws -> SavedCopy {
        try SavedCopy("\(path)/manifest.json", interruption: interruption)
    }

    /// Refused, with that status and those words.
    func expect(
        _ status: Quiesce.ExitStatus, _ words: String..., at place: SourceLocation = #_sourceLocation
    ) {
        let failure = #expect(throws: Failure.self, sourceLocation: place) { try read() }
        #expect(failure?.status == status, "\(String(describing: failure))", sourceLocation: place)
        for word in words {
            #expect(failure?.message.contains(word) == true, "\(String(describing: failure))", sourceLocation: place)
        }
    }
}
