// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import QuiesceKVM

@Suite("access to frozen images")
struct ImageAccessTests {
    @Test("a file name with any character is opened as it is")
    func oddNames() async throws {
        try await Bench.with { bench in
            let name = "-nbd: \"a\",\\ b{}=%s\u{1}ü"
            try await bench.ext4("fs", megabytes: 8)
            try await bench.qcow2("disk", from: "fs")
            try FileManager.default.moveItem(atPath: bench.path("disk"), toPath: bench.path(name))
            let findings = try await bench.check(("vda", name, "qcow2"))
            #expect(findings.first?.result == .ok)
        }
    }

    @Test("the layers below a frozen image are found by its headers, relative names included")
    func chain() async throws {
        try await Bench.with { bench in
            try await bench.ext4("base.raw")
            try await bench.tool(
                "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base.raw", bench.path("middle.qcow2"))
            try await bench.tool(
                "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", bench.path("middle.qcow2"),
                bench.path("top.qcow2"))
            // The top layer holds what makes the difference.
            try await bench.tool(
                "qemu-io", "-f", "qcow2", "-c", "write -z 1024 1024", bench.path("top.qcow2"))
            #expect(try await bench.check(("vda", "middle.qcow2", "qcow2")).first?.kind == "ext4")
            #expect(try await bench.check(("vda", "top.qcow2", "qcow2")).first?.kind == "data")
            let chain = try ImageChain(of: FrozenImage(target: "vda", path: bench.path("top.qcow2"), format: "qcow2"))
            #expect(chain.layers.map(\.format) == [.qcow2, .qcow2, .raw])
            #expect(chain.layers.last?.path == bench.path("base.raw"))
        }
    }

    @Test(
        "a header that leads elsewhere is refused",
        arguments: [
            (["-b", "json:{\"driver\":\"null-co\"}", "-F", "raw", "-u"], "not on a file"),
            (["-b", "nbd:unix:/nowhere", "-F", "raw", "-u"], "not on a file"),
            (["-b", "base.raw", "-F", "vmdk", "-u"], "does not say that its backing file is raw or qcow2"),
        ])
    func elsewhere(options: [String], complaint: String) async throws {
        try await Bench.with { bench in
            let made = try await Tool("qemu-img", package: "qemu-utils").run(
                ["create", "-q", "-f", "qcow2"] + options + [bench.path("disk"), "1M"], deadline: .now + .seconds(120))
            try #require(made.succeeded, "\(made.reason)")
            let findings = try await bench.check(("vda", "disk", "qcow2"))
            #expect(findings.map(\.result) == [.notChecked])
            #expect(findings.first?.detail.contains(complaint) == true)
        }
    }

    @Test("a backing file without a recorded format is not probed")
    func unnamedFormat() async throws {
        try await Bench.with { bench in
            try bench.blank("base.raw", megabytes: 1)
            try await bench.tool(
                "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base.raw", bench.path("disk"))
            // Takes the header extension "backing format" away.
            var header = try bench.bytes(of: "disk", at: 0, count: 512)
            let at = try #require(header.indices.first { header[$0...].starts(with: [0xE2, 0x79, 0x2A, 0xCA]) })
            header.replaceSubrange(at..<(at + 4), with: [0x12, 0x34, 0x56, 0x78])
            try bench.write(header, to: "disk", at: 0)
            let findings = try await bench.check(("vda", "disk", "qcow2"))
            #expect(findings.first?.detail.contains("does not say that its backing file is raw or qcow2") == true)
        }
    }

    @Test("data in another file, images that are none, other formats and missing files are refused by name")
    func refused() async throws {
        try await Bench.with { bench in
            try bench.blank("data", megabytes: 1)
            try await bench.tool(
                "qemu-img", "create", "-q", "-f", "qcow2", "-o", "data_file=\(bench.path("data"))",
                bench.path("outside"),
                "1M")
            let findings = try await bench.check(
                ("vda", "outside", "qcow2"), ("vdb", "data", "qcow2"), ("vdc", "data", "vmdk"), ("vdd", "none", "qcow2")
            )
            #expect(findings.map(\.place) == ["vda", "vdb", "vdc", "vdd"])
            #expect(findings.allSatisfy { $0.result == .notChecked })
            #expect(findings[0].detail.contains("keeps its data in another file"))
            #expect(findings[1].detail.contains("is not a sound qcow2 image"))
            #expect(findings[2].detail == "images of format vmdk are not read here")
            #expect(findings[3].detail.contains("No such file"))
        }
    }

    @Test("headers cut short or full of noise never trap")
    func hostileHeaders() throws {
        let scratch = try ScratchFolder()
        let folder = try Folder(scratch.path)
        var random = Seeded(4)
        for _ in 0..<500 {
            var bytes = (0..<512).map { _ in UInt8.random(in: 0...255, using: &random) }
            bytes.replaceSubrange(
                0..<8, with: [0x51, 0x46, 0x49, 0xFB, 0, 0, 0, UInt8.random(in: 2...3, using: &random)])
            if Bool.random(using: &random) { bytes.replaceSubrange(8..<14, with: [0, 0, 0, 0, 0, 0]) }
            if Bool.random(using: &random) { bytes.replaceSubrange(100..<104, with: [0, 0, 0, 104]) }
            let file = try folder.open("disk", O_RDWR | O_CREAT | O_TRUNC, mode: 0o600)
            try file.write(Array(bytes.prefix(Int.random(in: 0...512, using: &random))))
            _ = try? Qcow2Header(of: file)
        }
    }

    @Test("an image that someone writes to is refused, with the writer's name")
    func locked() async throws {
        try await Bench.with { bench in
            try await bench.ext4("fs", megabytes: 8)
            try bench.write([0], to: "mount", at: 0)
            let daemon = try Tool("qemu-storage-daemon", package: "qemu-system-common")
            let ready = bench.path("ready")
            let arguments = [
                "--blockdev", #"{"driver":"file","node-name":"f","filename":"\#(bench.path("fs"))","locking":"on"}"#,
                "--export",
                #"{"type":"fuse","id":"e","node-name":"f","mountpoint":"\#(bench.path("mount"))","writable":true}"#,
                "--pidfile", ready,
            ]
            let caught = try await daemon.whileRunning(
                arguments, isReady: { FileManager.default.fileExists(atPath: ready) }, deadline: .now + .seconds(300)
            ) { () async -> ImageCheckError? in
                do { _ = try await bench.check(("vda", "fs", "raw")) } catch { return error as? ImageCheckError }
                return nil
            }
            guard case .success(.imageInUse(let image, let holder)) = caught else {
                Issue.record("not refused: \(caught)")
                return
            }
            #expect(image == bench.path("fs"))
            #expect(holder?.hasPrefix("qemu-storage-da (") == true)
            #expect(bench.leftInScratch.isEmpty)
        }
    }

    @Test("while an image is read nobody can begin to write to it, raw or qcow2")
    func kept() async throws {
        try await Bench.with { bench in
            try bench.blank("raw", megabytes: 1)
            try await bench.qcow2("qcow2", from: "raw")
            for format in ["raw", "qcow2"] {
                let write = ["-f", format, "-c", "write 0 512", bench.path(format)]
                let qemuIO = try Tool("qemu-io", package: "qemu-utils")
                do {
                    let image = FrozenImage(target: "vda", path: bench.path(format), format: format)
                    let disk = try FrozenDisk(image)
                    let refused = try await qemuIO.run(write, deadline: .now + .seconds(120))
                    #expect(refused.status == .exited(1))
                    withExtendedLifetime(disk) {}
                }
                #expect(try await qemuIO.run(write, deadline: .now + .seconds(120)).succeeded)
            }
        }
    }

    @Test("readers beside a reader are let in")
    func shared() async throws {
        try await Bench.with { bench in
            try await bench.ext4("fs", megabytes: 8)
            async let one = bench.check(("vda", "fs", "raw"))
            async let other = bench.check(("vda", "fs", "raw"))
            #expect(try await one == other)
            #expect(try await other.first?.result == .ok)
            #expect(bench.leftInScratch.isEmpty)
        }
    }

    @Test("what is not done at the deadline is not checked, and its proof is kept")
    func deadline() async throws {
        try await Bench.with { bench in
            try await bench.ext4("fs", megabytes: 8)
            let images = [FrozenImage(target: "vda", path: bench.path("fs"), format: "raw")]
            let check = ImageCheck(images: images, scratch: bench.scratch)
            let findings = try await check.run(depth: .full, deadline: .now)
            #expect(findings.map(\.result) == [.notChecked])
            #expect(findings.first?.frozen == true)
            #expect(findings.first?.detail.hasPrefix("frozen: journal empty; ") == true)
            #expect(bench.leftInScratch.isEmpty)
        }
    }

    @Test("cancellation ends the daemon and leaves nothing")
    func cancelled() async throws {
        try await Bench.with { bench in
            try await bench.ext4("fs", megabytes: 8)
            let images = [FrozenImage(target: "vda", path: bench.path("fs"), format: "raw")]
            let check = ImageCheck(images: images, scratch: bench.scratch)
            let (steps, step) = AsyncStream.makeStream(of: ImageCheck.Progress.self)
            let task = Task {
                try await check.run(depth: .full, deadline: .now + .seconds(300)) { step.yield($0) }
            }
            // In the midst of it: the disks are served, the checker is about to start.
            for await progress in steps {
                if case .checking = progress { break }
            }
            task.cancel()
            await #expect(throws: ImageCheckError.cancelled) { try await task.value }
            #expect(bench.leftInScratch.isEmpty)
            let mounts = try String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)
            #expect(!mounts.contains(bench.folder))
        }
    }

    @Test("a scratch folder that is not there is named")
    func noScratch() async throws {
        try await Bench.with { bench in
            try await bench.ext4("fs", megabytes: 8)
            let images = [FrozenImage(target: "vda", path: bench.path("fs"), format: "raw")]
            await #expect(
                throws: ImageCheckError.scratchUnusable(folder: "/nonexistent", reason: "No such file or directory")
            ) {
                _ = try await ImageCheck(images: images, scratch: "/nonexistent").run(
                    depth: .proof, deadline: .now + .seconds(300))
            }
        }
    }

    @Test("the folder of a killed check is removed by the next one, that of a running one is not")
    func stale() async throws {
        try await Bench.with { bench in
            try FileManager.default.createDirectory(
                atPath: "\(bench.scratch)/stillpoint-check-gone", withIntermediateDirectories: false)
            try bench.write([1], to: "scratch/stillpoint-check-gone/overlay-1", at: 0)
            try await WorkFolder.with(in: bench.scratch) { outer throws(ImageCheckError) in
                #expect(bench.leftInScratch.count == 1)
                try await WorkFolder.with(in: bench.scratch) { _ in
                    #expect(FileManager.default.fileExists(atPath: outer.path))
                }
            }
            #expect(bench.leftInScratch.isEmpty)
        }
    }
}
