// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("layers of a guest that is off are merged by qemu-img")
struct MergeTests {
    let images: Images
    let store: QemuImages

    init() throws {
        images = try Images()
        store = try QemuImages()
    }

    /// 16 MiB, all of which the overlay has.
    private func chain() async throws -> (base: ImageLayer, top: ImageLayer) {
        let base = try await images.make("disk.qcow2")
        let top = try await images.make("disk.s1", format: "qcow2", "-b", base, "-F", "qcow2")
        try await images.io("write -P 7 0 16M", top)
        return (ImageLayer(path: base, format: "qcow2"), ImageLayer(path: top, format: "qcow2"))
    }

    @Test("as fast as it is told to, and it is heard how far it is; the overlay is as it was")
    func merge() async throws {
        let (base, top) = try await chain()
        let parts = Mutex<[Double]>([])
        try await store.merge(top, into: base, options: MergeOptions(bandwidth: 8 << 20)) { part in
            parts.withLock { $0.append(part) }
        }
        let heard = parts.withLock { $0 }
        #expect(!heard.isEmpty && heard == heard.sorted() && heard.allSatisfy { (0...1).contains($0) })
        try await images.io("read -P 7 0 16M", base.path)
        try await images.io("read -P 7 0 16M", top.path)
    }

    @Test("who wants to stop is heard while it runs; the overlay is whole, and another merge ends it")
    func stopped() async throws {
        let (base, top) = try await chain()
        let interruption = Interruption()
        let failure = await #expect(throws: Failure.self) {
            let options = MergeOptions(bandwidth: 1 << 20, interruption: interruption)
            try await store.merge(top, into: base, options: options) { _ in interruption.ask(.interrupted) }
        }
        #expect(failure?.status == .interrupted)
        try await images.io("read -P 7 0 16M", top.path)
        try await store.merge(top, into: base, options: MergeOptions()) { _ in }
        try await images.io("read -P 7 0 16M", base.path)
    }

    @Test("what takes longer than was allowed is busy, with the option that allows more")
    func late() async throws {
        let (base, top) = try await chain()
        let failure = await #expect(throws: Failure.self) {
            try await store.merge(top, into: base, options: MergeOptions(limit: .zero)) { _ in }
        }
        #expect(failure?.status == .busy)
        #expect(failure?.hint?.contains("--timeout") == true)
        try await images.io("read -P 7 0 16M", top.path)
    }
}
