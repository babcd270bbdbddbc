// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("a new overlay's tables are there before the guest's first write")
struct MappingTablesTests {
    let images: Images

    init() throws { images = try Images() }

    private func check(_ image: String) async throws -> String {
        let result = try await images.qemuImg.run(["check", "-U", image], deadline: .now + .seconds(300))
        return String(decoding: result.output, as: UTF8.self)
    }

    @Test(
        "QEMU finds nothing wrong with them, and the backing file shows through",
        arguments: [
            "cluster_size=64k", "cluster_size=512", "cluster_size=2M", "cluster_size=64k,extended_l2=on",
            "refcount_bits=1", "refcount_bits=64", "compat=0.10", "lazy_refcounts=on",
        ])
    func sound(options: String) async throws {
        let base = try await images.make("base", format: "raw")
        try images.scratch.write(String(repeating: "x", count: 1 << 20), to: "base")
        let overlay = try await images.make("overlay", format: "qcow2", "-b", base, "-F", "raw", "-o", options)
        let file = try Folder(images.scratch.path).open("overlay", O_RDWR)
        try MappingTables.prepare(in: file)
        #expect(try await check(overlay).contains("No errors were found on the image."))
        let same = try await images.qemuImg.run(
            ["compare", "-f", "qcow2", "-F", "raw", overlay, base], deadline: .now + .seconds(300))
        #expect(same.succeeded)
    }

    @Test("a first write makes none, and what it wrote is there")
    func firstWrite() async throws {
        let base = try await images.make("base", format: "raw")
        let overlay = try await images.make("overlay", format: "qcow2", "-b", base, "-F", "raw")
        let file = try Folder(images.scratch.path).open("overlay", O_RDWR)
        try MappingTables.prepare(in: file)
        let before = try images.scratch.size("overlay")
        let io = try Tool("qemu-io", package: "qemu-utils")
        for command in ["write -P 7 1024 1024", "read -P 7 1024 1024", "read -P 0 2048 64k"] {
            let result = try await io.run(["-f", "qcow2", "-c", command, overlay], deadline: .now + .seconds(300))
            #expect(result.succeeded && !String(decoding: result.output, as: UTF8.self).contains("failed"))
        }
        #expect(try images.scratch.size("overlay") == before + 65_536)
        #expect(try await check(overlay).contains("No errors were found on the image."))
    }

    @Test("tables take no room on the disk until they are used, and are not made without end")
    func room() async throws {
        let overlay = try await images.make("overlay")
        let result = try await images.qemuImg.run(["resize", "-q", overlay, "8T"], deadline: .now + .seconds(300))
        try #require(result.succeeded)
        let file = try Folder(images.scratch.path).open("overlay", O_RDWR)
        let before = try QemuImages.allocatedBytes(of: overlay)
        try MappingTables.prepare(in: file)
        #expect(try QemuImages.allocatedBytes(of: overlay) <= before + 65_536)
        #expect(try images.scratch.size("overlay") < 32 << 20)
        #expect(try await check(overlay).contains("No errors were found on the image."))
    }

    @Test("what is no such image stays as it is", arguments: ["", "QFI\u{FB}", String(repeating: "\u{0}", count: 200)])
    func noise(text: String) throws {
        try images.scratch.write(text, to: "noise")
        try MappingTables.prepare(in: try Folder(images.scratch.path).open("noise", O_RDWR))
        #expect(try images.scratch.text(of: "noise") == text)
    }
}
