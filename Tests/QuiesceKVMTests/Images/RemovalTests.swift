// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("an image file goes only when nothing needs it")
struct RemovalTests {
    let images: Images
    let store: QemuImages
    let run = RunID.random()
    var scratch: ScratchFolder { images.scratch }

    init() throws {
        images = try Images()
        store = try QemuImages()
    }

    private func chain() async throws -> (base: String, overlay: String) {
        let base = try await images.make("disk.qcow2")
        return (base, try await images.make("disk.s1", format: "qcow2", "-b", base, "-F", "qcow2"))
    }

    @Test("a merged overlay is removed, and its trash name with it")
    func remove() async throws {
        let (_, overlay) = try await chain()
        try await store.remove([overlay], of: run)
        #expect(try scratch.names == ["disk.qcow2"])
    }

    @Test("an overlay that is gone already, or its folder, is fine")
    func gone() async throws {
        try await store.remove([scratch("disk.s1"), scratch("none/disk.s1")], of: run)
    }

    @Test("a removal that was interrupted after the rename is finished")
    func interrupted() async throws {
        let (_, overlay) = try await chain()
        try #require(rename(overlay, scratch(".stillpoint-trash-\(run)-disk.s1")) == 0)
        try await store.remove([overlay], of: run)
        #expect(try scratch.names == ["disk.qcow2"])
    }

    @Test("behind a link, as the folder of all images often is, an overlay goes like any other, merged or unused")
    func linkedFolder() async throws {
        let (base, _) = try await chain()
        try #require(symlink(scratch.path, scratch("link")) == 0)
        try await store.remove([scratch("link/disk.s1")], of: run)
        let unused = try await images.make("disk.s2", format: "qcow2", "-b", base, "-F", "qcow2")
        await store.discard([scratch("link/disk.s2")])
        #expect(!exists(scratch("disk.s1")) && !exists(unused) && exists(base))
    }

    @Test("an image that another lies on stays, however the other names it")
    func siblings() async throws {
        let (base, overlay) = try await chain()
        try #require(symlink(base, scratch("other name")) == 0)
        for name in [base, "disk.qcow2", "./disk.qcow2", scratch("other name"), "json:{\"file\":\"\(base)\"}"] {
            try await images.make("disk.s1", format: "qcow2", "-u", "-b", name, "-F", "qcow2")
            let failure = await #expect(throws: Failure.self, "\(name)") { try await store.remove([base], of: run) }
            #expect(failure?.message == "\(overlay) lies on \(base): it is left alone")
        }
        #expect(exists(base))
    }

    @Test("two layers that lie on each other go together")
    func together() async throws {
        let (base, overlay) = try await chain()
        let top = try await images.make("disk.s2", format: "qcow2", "-b", overlay, "-F", "qcow2")
        try await store.remove([overlay, top], of: run)
        #expect(!exists(overlay) && !exists(top) && exists(base))
    }

    @Test("an image that a QEMU process has open is neither removed nor discarded")
    func inUse() async throws {
        let (base, overlay) = try await chain()
        let (store, run) = (store, run)
        try await images.whileOpen(overlay) {
            // The base is open too, though for reading only.
            for image in [overlay, base] {
                let failure = await #expect(throws: Failure.self) { try await store.remove([image], of: run) }
                #expect(failure?.message.contains("still open in a QEMU process") == true)
            }
            await store.discard([overlay])
        }
        #expect(exists(base) && exists(overlay))
        await store.discard([overlay])
        #expect(!exists(overlay))
    }

    @Test("a name too long for a prefix is removed all the same")
    func longName() async throws {
        let overlay = try await images.make(String(repeating: "ä", count: 120))
        try await store.remove([overlay], of: run)
        #expect(try scratch.names == [])
    }

    @Test("only overlays are discarded: no base, no raw image, no link, no folder")
    func discard() async throws {
        let (base, overlay) = try await chain()
        let raw = try await images.make("disk.raw", format: "raw")
        try #require(symlink(overlay, scratch("link")) == 0)
        let folder = try scratch.makeFolder("folder")
        try scratch.write("", to: "begun")
        let left = await store.discard([base, raw, scratch("link"), folder, scratch("none"), scratch("begun"), overlay])
        #expect(left == [base, raw, folder])
        #expect(try scratch.names == ["disk.qcow2", "disk.raw", "folder", "link"])
    }
}
