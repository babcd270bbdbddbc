// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("A copy's folder, of which nothing is believed")
struct SavedCopyTests {
    @Test("a whole one is read: its images with their digests, by their own files")
    func whole() async throws {
        let folder = try await CopyFolder()
        let saved = try folder.read()
        #expect(saved.images.map(\.name) == ["vda.qcow2"] && saved.member.domain == .db01)
        #expect(saved.images[0].digest?.utf8.count == 64 && saved.nvram == nil && saved.boot.isEmpty)
        #expect(saved.images[0].source.path.hasPrefix("/proc/\(getpid())/fd/"))
    }

    @Test("put together from raw files and a run's papers it has no digests of images, and says so")
    func gathered() async throws {
        let folder = try await CopyFolder()
        try #require(unlink(folder.images.scratch("copy.json")) == 0)
        try #require(unlink(folder.images.scratch("vda.qcow2")) == 0)
        try folder.seal()
        try await folder.images.make("vda.raw", format: "raw")
        let saved = try folder.read()
        #expect(saved.images.map(\.name) == ["vda.raw"] && saved.images[0].digest == nil)
        try await folder.images.make("vda.qcow2")
        folder.expect(.refused, "there are both")
    }

    @Test("what is not there, or has another name")
    func missing() async throws {
        let folder = try await CopyFolder()
        for path in [folder.path, "/nonexistent/manifest.json"] {
            #expect(throws: Failure.self) { try SavedCopy(path, interruption: Interruption()) }
        }
        try #require(unlink(folder.images.scratch("vda.qcow2")) == 0)
        folder.expect(.noSuchThing, "there is no vda.raw or vda.qcow2")
        try await folder.images.make("vda.qcow2")
        for name in ["copy.json", "domain.xml", "manifest.json", "SHA256SUMS"] {
            try #require(unlink(folder.images.scratch(name)) == 0)
            folder.expect(.noSuchThing, name, "is not there")
        }
    }

    @Test("a paper that was changed or cut short since, and one that the digests leave out")
    func changed() async throws {
        let folder = try await CopyFolder()
        try folder.write("domain.xml", CopyFolder.definition + " ")
        folder.expect(.verificationFailed, "domain.xml is not what it was")
        try folder.seal()
        _ = try folder.read()
        let text = try folder.images.scratch.text(of: "manifest.json")
        try folder.write("manifest.json", String(text.prefix(text.count / 2)))
        folder.expect(.verificationFailed, "manifest.json")
        try folder.seal()
        folder.expect(.refused, "manifest.json is not understood")
        try folder.write("manifest.json", text)
        try folder.write("SHA256SUMS", "")
        folder.expect(.refused, "SHA256SUMS")
        for name in ["../up", "..", "a\u{1B}[2J", "a\u{9B}2J", "a\u{202E}b", "a\u{200B}", ""] {
            try folder.write("SHA256SUMS", String(repeating: "0", count: 64) + "  \(name)\n")
            folder.expect(.refused, "SHA256SUMS is not understood")
        }
        try folder.seal()
        let lines = try folder.images.scratch.text(of: "SHA256SUMS").split(separator: "\n")
        try folder.write("SHA256SUMS", lines.filter { !$0.contains("vda") }.joined(separator: "\n") + "\n")
        folder.expect(.refused, "no line for vda.qcow2")
    }

    @Test("a file that is listed twice counts once, and with two digests the list is refused")
    func twice() async throws {
        let folder = try await CopyFolder()
        let sums = try folder.images.scratch.text(of: "SHA256SUMS")
        try folder.write("SHA256SUMS", sums + sums)
        _ = try folder.read()
        #expect(DigestList(Array((sums + sums).utf8))?.names.count == 4)
        try folder.write("SHA256SUMS", sums + String(repeating: "0", count: 64) + "  domain.xml\n")
        folder.expect(.refused, "SHA256SUMS is not understood")
    }

    @Test("who wants to stop is heard before the next paper is read")
    func interrupted() async throws {
        let folder = try await CopyFolder()
        let interruption = Interruption()
        interruption.ask(.interrupted)
        let failure = #expect(throws: Failure.self) { try folder.read(interruption) }
        #expect(failure?.status == .interrupted)
    }

    @Test(
        "whatever bit of a paper is another one, it is found at once, or the image's digest is another one too",
        arguments: ["manifest.json", "domain.xml", "copy.json", "SHA256SUMS"])
    func flipped(_ name: String) async throws {
        let folder = try await CopyFolder()
        let digest = try folder.read().images[0].digest
        let text = Array(try folder.images.scratch.text(of: name).utf8)
        for _ in 0..<100 {
            var bytes = text
            let place = try #require(bytes.indices.randomElement())
            bytes[place] ^= 1 << UInt8.random(in: 0..<8)
            try Data(bytes).write(to: URL(filePath: folder.images.scratch(name)))
            let saved = try? folder.read()
            #expect(saved == nil || saved?.images[0].digest != digest, "byte \(place) is \(bytes[place])")
        }
    }

    @Test("another schema, another guest's definition, no disks, and a name that leads elsewhere")
    func foreign() async throws {
        let folder = try await CopyFolder()
        func expect(_ manifest: String, _ words: String, at place: SourceLocation = #_sourceLocation) throws {
            try folder.write("manifest.json", manifest)
            try folder.seal()
            folder.expect(.refused, words, at: place)
        }
        try expect("{}\n", "schema none")
        try expect("{ \"schema\": \"stillpoint.run/v2\\u001b\" }\n", "schema 'stillpoint.run/v2")
        try expect(try CopyFolder.report { $0.members[0].snapshot?.disks = [] }, "not of one snapshot")
        try expect(try CopyFolder.report { $0.members = [] }, "not of one snapshot")
        try expect(try CopyFolder.report { $0.members[0].domain = .web }, "not of one snapshot")
        let uuid = "../\u{1B}[31m"
        try folder.write("domain.xml", CopyFolder.definition.replacing(GuestIdentity.db01.uuid, with: "../x"))
        try expect(
            try CopyFolder.report {
                $0.members[0].domain = GuestIdentity(name: uuid, uuid: "../x", uri: uuid)
            }, "not of one snapshot")
        try folder.write("domain.xml", CopyFolder.definition)
        let report = try CopyFolder.report()
        try expect(report.replacing("\"vda\"", with: "\"../vda\""), "not understood")
        try folder.write("manifest.json", report)
        try folder.write("domain.xml", "<domain><uuid>")
        try folder.seal()
        folder.expect(.refused, "no domain's definition")
    }

    @Test("links, pipes, and papers that are too large")
    func notFiles() async throws {
        let folder = try await CopyFolder()
        let image = folder.images.scratch("vda.qcow2")
        try #require(rename(image, folder.images.scratch("elsewhere")) == 0 && symlink("elsewhere", image) == 0)
        folder.expect(.refused, "symbolic link")
        try #require(unlink(image) == 0 && mkfifo(image, 0o600) == 0)
        folder.expect(.refused, "no regular file")
        try #require(unlink(image) == 0 && rename(folder.images.scratch("elsewhere"), image) == 0)
        try folder.write("domain.xml", "")
        try #require(truncate(folder.images.scratch("domain.xml"), 5 << 20) == 0)
        folder.expect(.refused, "domain.xml has 5 MiB")
    }

    @Test("what another user could change while it is read")
    func others() async throws {
        let folder = try await CopyFolder()
        try #require(chmod(folder.images.scratch("vda.qcow2"), 0o666) == 0)
        folder.expect(.refused, "vda.qcow2", "another user owns it or may write to it")
        try #require(chmod(folder.images.scratch("vda.qcow2"), 0o644) == 0 && chmod(folder.path, 0o777) == 0)
        folder.expect(.refused, folder.path, "another user")
        try #require(chmod(folder.path, 0o755) == 0)
        _ = try folder.read()
    }

    @Test("an image with a backing file, a data file, another size, or no image at all")
    func images() async throws {
        let folder = try await CopyFolder()
        let images = folder.images
        func expect(_ words: String, at place: SourceLocation = #_sourceLocation) throws {
            try folder.seal()
            folder.expect(.refused, words, at: place)
        }
        try await images.make("vda.qcow2", "-u", "-b", "/etc/shadow", "-F", "raw")
        try expect("lies on another image")
        try await images.make("vda.qcow2", "-o", "data_file=\(images.scratch("data"))")
        try expect("keeps its data in another file")
        let resized = try await images.qemuImg.run(
            ["create", "-q", "-f", "qcow2", images.scratch("vda.qcow2"), "32M"], deadline: .now + .seconds(300))
        try #require(resized.succeeded)
        try expect("shows 33554432 bytes")
        try folder.write("vda.qcow2", "no image")
        try expect("not a sound qcow2 image")
        try #require(unlink(images.scratch("vda.qcow2")) == 0)
        try folder.write("vda.raw", "short")
        try expect("has 5 bytes")
    }
}
