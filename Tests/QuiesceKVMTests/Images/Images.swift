// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce
@testable import QuiesceKVM

/// Makes images with qemu-img itself, as an administrator would.
struct Images {
    let scratch: ScratchFolder
    let qemuImg: Tool

    init() throws {
        scratch = try ScratchFolder()
        qemuImg = try Tool("qemu-img", package: "qemu-utils")
    }

    @discardableResult
    func make(_ name: String, format: String = "qcow2", _ options: String...) async throws -> String {
        let result = try await qemuImg.run(
            ["create", "-q", "-f", format] + options + ["--", scratch(name), "16M"], deadline: .now + .seconds(300))
        try #require(result.succeeded, "\(result.reason)")
        return scratch(name)
    }

    /// What qemu-io does to a qcow2 image, or that it does not find there what it was told.
    func io(_ command: String, _ image: String) async throws {
        let result = try await Tool("qemu-io", package: "qemu-utils").run(
            ["-f", "qcow2", "-c", command, image], deadline: .now + .seconds(300))
        let told = String(decoding: result.output, as: UTF8.self)
        try #require(result.succeeded && !told.contains("failed"), "\(told)\(result.reason)")
    }

    /// The plan of an overlay; 16 MiB, as all images here.
    func disk(
        _ target: String = "vda", base: String, format: String = "qcow2", overlay: String, size: Int64 = 16 << 20
    ) throws -> MemberPlan.Disk {
        let layer = ImageLayer(path: base, format: format)
        return MemberPlan.Disk(
            target: try #require(DiskTarget(target)), base: layer, overlay: overlay, virtualSizeBytes: size,
            chain: [layer])
    }

    /// `body` while a process of QEMU has the image open.
    func whileOpen(_ image: String, _ body: @escaping @Sendable () async throws -> Void) async throws {
        let server = try Tool("qemu-nbd", package: "qemu-utils")
        let socket = scratch("socket")
        let result = try await server.whileRunning(
            ["-t", "-f", "qcow2", "-k", socket, image], isReady: { exists(socket) }, deadline: .now + .seconds(300)
        ) {
            // It listens before it opens the image, and a SIGTERM that comes before its main loop is lost (7.2): when it
            // has served somebody, it is past both.
            let served = try await qemuImg.run(
                ["info", "nbd+unix:///?socket=\(socket)"], deadline: .now + .seconds(300))
            try #require(served.succeeded, "\(served.reason)")
            try await body()
        }
        try result.get()
    }
}
