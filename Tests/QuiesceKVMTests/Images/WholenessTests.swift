// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("a frozen image that is not whole is found by its tables and sizes")
struct WholenessTests {
    let images: Images
    let store: QemuImages
    let io: Tool

    init() throws {
        images = try Images()
        store = try QemuImages()
        io = try Tool("qemu-io", package: "qemu-utils")
    }

    /// An image full of data, and one on it with some.
    private func chain(_ format: String) async throws -> MemberReport.Disk {
        let base = try await images.make("base", format: format)
        try await write(base, format, "0 16M")
        let top = try await images.make("top", format: "qcow2", "-b", base, "-F", format)
        try await write(top, "qcow2", "4M 4M")
        let layers = [ImageLayer(path: top, format: "qcow2"), ImageLayer(path: base, format: format)]
        return MemberReport.Disk(
            target: try #require(DiskTarget("vda")), frozenImage: top, chain: layers,
            overlay: images.scratch("overlay"),
            format: "qcow2", virtualSizeBytes: 16 << 20)
    }

    private func write(_ image: String, _ format: String, _ place: String) async throws {
        let result = try await io.run(
            ["-f", format, "-c", "write -P 7 \(place)", image], deadline: .now + .seconds(300))
        try #require(result.succeeded, "\(result.reason)")
    }

    private func cutOff(_ image: String, bytes: Int) throws {
        var status = stat()
        try #require(stat(image, &status) == 0 && truncate(image, status.st_size - bytes) == 0)
    }

    @Test("whole ones pass, while QEMU has them open too", arguments: ["raw", "qcow2"])
    func whole(_ format: String) async throws {
        let disk = try await chain(format)
        try await store.checkWhole(disk)
        try await images.whileOpen(disk.frozenImage) { try await store.checkWhole(disk) }
    }

    @Test("an image without its end is damaged or shows fewer bytes", arguments: [65536, 1 << 20])
    func cutOff(bytes: Int) async throws {
        var disk = try await chain("qcow2")
        for image in disk.chain.map(\.path) {
            try cutOff(image, bytes: bytes)
            let failure = try await #require(throws: Failure.self) { try await store.checkWhole(disk) }
            #expect(failure.status == .verificationFailed && failure.message.contains(image))
            disk = try await chain("qcow2")
        }
        let raw = try await images.make("disk.raw", format: "raw")
        (disk.frozenImage, disk.format, disk.chain) = (raw, "raw", [ImageLayer(path: raw, format: "raw")])
        try await store.checkWhole(disk)
        try cutOff(raw, bytes: 512)
        await #expect(throws: Failure.self) { try await store.checkWhole(disk) }
    }

    @Test("a table that points nowhere is damage")
    func table() async throws {
        let disk = try await chain("qcow2")
        // The first entry of the L1 table, which the third cluster of a new image holds.
        let result = try await io.run(
            ["-f", "raw", "-c", "write -P 0x5a 196608 8", disk.frozenImage], deadline: .now + .seconds(300))
        try #require(result.succeeded, "\(result.reason)")
        let failure = try await #require(throws: Failure.self) { try await store.checkWhole(disk) }
        #expect(failure.message.contains("vda"))
    }
}
