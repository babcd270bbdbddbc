// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("an image is taken for what its header says")
struct HeaderTests {
    let images: Images
    let store: QemuImages
    var scratch: ScratchFolder { images.scratch }

    init() throws {
        images = try Images()
        store = try QemuImages()
    }

    @Test("our own reading of a header agrees with qemu-img's")
    func agreement() async throws {
        for options in ["cluster_size=512", "cluster_size=2M", "extended_l2=on,cluster_size=64k", "compat=0.10"] {
            let image = try await images.make(
                "disk.qcow2", format: "qcow2", "-u", "-b", "/srv/a base", "-F", "raw", "-o", options)
            let theirs = try await store.header(of: ImageLayer(path: image, format: "qcow2"))
            let ours = try Qcow2Header(at: image)
            #expect(ours.backing == theirs.backingPath)
            #expect(ours.backingFormat == "raw")
            #expect(ours.virtualSizeBytes == theirs.virtualSizeBytes)
            #expect(ours.clusterSizeBytes == theirs.clusterSizeBytes)
            #expect(ours.hasExtendedL2 == theirs.hasExtendedL2)
            #expect(!ours.hasDataFile)
        }
    }

    @Test("an overlay of the wrong size, base or base format does not pass")
    func check() async throws {
        let base = try await images.make("disk.raw", format: "raw")
        let overlay = try await images.make("disk.s1", format: "qcow2", "-b", base, "-F", "raw")
        try await store.check(images.disk(base: base, format: "raw", overlay: overlay))
        for wrong in [
            try images.disk(base: base, format: "raw", overlay: overlay, size: 32 << 20),
            try images.disk(base: base, format: "qcow2", overlay: overlay),
            try images.disk(base: scratch("other.raw"), format: "raw", overlay: overlay),
        ] {
            let failure = await #expect(throws: Failure.self) { try await store.check(wrong) }
            #expect(failure?.status == .verificationFailed)
        }
    }

    @Test(
        "an image that leads out of the host's files is refused before qemu-img opens it",
        arguments: ["nbd://127.0.0.1:1/x", "json:{\"driver\":\"null-co\"}", "https://127.0.0.1/x", "nbd:unix:/x"])
    func foreign(backing: String) async throws {
        let image = try await images.make("disk.qcow2", format: "qcow2", "-u", "-b", backing, "-F", "raw")
        let failure = await #expect(throws: Failure.self) {
            try await store.header(of: ImageLayer(path: image, format: "qcow2"))
        }
        #expect(failure?.status == .refused)
    }

    @Test("an image with an external data file is refused before qemu-img opens it")
    func dataFile() async throws {
        let image = try await images.make("disk.qcow2", format: "qcow2", "-o", "data_file=\(scratch("data"))")
        let failure = await #expect(throws: Failure.self) {
            try await store.header(of: ImageLayer(path: image, format: "qcow2"))
        }
        #expect(failure?.message.contains("keeps its data in another file") == true)
    }

    @Test("what is no qcow2 image is never opened as one")
    func garbage() async throws {
        for text in ["", "QFI", "QFI\u{FB}", "not an image"] {
            try scratch.write(text, to: "disk")
            await #expect(throws: Failure.self) {
                try await store.header(of: ImageLayer(path: scratch("disk"), format: "qcow2"))
            }
        }
    }

    @Test("a new overlay takes no more of the disk than its tables")
    func growth() async throws {
        let image = try await images.make("disk.qcow2")
        let header = try await store.header(of: ImageLayer(path: image, format: "qcow2"))
        #expect(try QemuImages.allocatedBytes(of: image) == header.actualSizeBytes)
        #expect(throws: Failure.self) { try QemuImages.allocatedBytes(of: scratch("none")) }
    }

    @Test("free space is asked of the folder's filesystem")
    func space() throws {
        #expect(try QemuImages.freeBytes(in: scratch.path) > 0)
        #expect(throws: Failure.self) { try QemuImages.freeBytes(in: scratch("none")) }
    }
}
