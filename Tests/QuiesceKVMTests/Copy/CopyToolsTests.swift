// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("Moving a disk's content")
struct CopyToolsTests {
    private func tools(
        _ interruption: Interruption = Interruption(), _ listener: @escaping @Sendable (CopyProgress) -> Void = { _ in }
    ) throws -> CopyTools { try CopyTools(interruption: interruption, telling: listener) }

    private func work(_ images: Images, _ source: String, _ format: CopyFormat = .qcow2) throws -> CopyTools.Work {
        var work = CopyTools.Work(
            try #require(DiskTarget("vda")), ImageLayer(path: images.scratch(source), format: "qcow2"), to: "copy",
            format)
        work.total = 16 << 20
        return work
    }

    @Test(
        "a chain becomes one image with its content, alone and synced, and its progress is heard",
        arguments: CopyFormat.allCases)
    func convert(_ format: CopyFormat) async throws {
        let images = try Images()
        try await images.make("base")
        try await images.io("write -P 1 0 1M", images.scratch("base"))
        try await images.make("top", "-b", images.scratch("base"), "-F", "qcow2")
        try await images.io("write -P 2 4M 1M", images.scratch("top"))
        let heard = Mutex<[CopyProgress]>([])
        let tools = try tools { event in heard.withLock { $0.append(event) } }
        var planned = try work(images, "top", format)
        let most = try await tools.measure(&planned, virtualSize: 16 << 20).allocatedBytes
        let work = planned
        #expect(work.total == UInt64(most))
        let copy = try await tools.convert(work, in: Folder(images.scratch.path), .copying)
        try await tools.compare(work, with: copy)
        #expect(try images.scratch.mode("copy") == 0o600)
        let taken = try QemuImages.allocatedBytes(of: images.scratch("copy"))
        #expect((2 << 20...most).contains(taken), "\(taken) of \(most)")
        let events = heard.withLock { $0 }
        #expect(
            events.contains { $0.step == .copying && $0.done == work.total }
                && events.contains { $0.step == .comparing })
        let digest = try await tools.digest(of: copy, "copy", work.target)
        let sum = try Shell.run("sha256sum \"$1\"", [images.scratch("copy")])
        #expect(sum.output.hasPrefix(digest))
    }

    @Test("a copy that differs in one byte is told from its source")
    func compare() async throws {
        let images = try Images()
        try await images.make("one")
        let tools = try tools()
        let work = try work(images, "one")
        let copy = try await tools.convert(work, in: Folder(images.scratch.path), .copying)
        try await images.io("write -P 3 8M 1M", images.scratch("copy"))
        let failure = await #expect(throws: Failure.self) { try await tools.compare(work, with: copy) }
        #expect(failure?.status == .verificationFailed)
        #expect(failure?.message.contains("mismatch at offset 8388608") == true, "\(String(describing: failure))")
    }

    @Test("compressed it is smaller and reads the same")
    func compressed() async throws {
        let images = try Images()
        try await images.make("one")
        try await images.io("write -P 7 0 1M", images.scratch("one"))
        let tools = try tools()
        var work = try work(images, "one")
        work.isCompressed = true
        let copy = try await tools.convert(work, in: Folder(images.scratch.path), .copying)
        try await tools.compare(work, with: copy)
        #expect(try images.scratch.size("copy") < images.scratch.size("one"))
    }

    @Test(
        "whoever exchanges the folder meanwhile gets nothing written through a link of theirs",
        arguments: CopyFormat.allCases)
    func exchanged(_ format: CopyFormat) async throws {
        let images = try Images()
        try await images.make("one")
        try images.scratch.write("mine", to: "victim")
        let folder = try Folder(images.scratch.makeFolder("draft"))
        try #require(rename(images.scratch("draft"), images.scratch("moved")) == 0)
        _ = try images.scratch.makeFolder("draft")
        try #require(symlink("../victim", images.scratch("draft/copy")) == 0)
        let (tools, work) = (try tools(), try work(images, "one", format))
        let copy = try await tools.convert(work, in: folder, .copying)
        try await tools.compare(work, with: copy)
        #expect(try await tools.digest(of: copy, "copy").utf8.count == 64)
        #expect(try images.scratch.text(of: "victim") == "mine" && images.scratch.size("moved/copy") > 4)
        // A link that is there already is not followed.
        try #require(unlink(images.scratch("moved/copy")) == 0)
        try #require(symlink("../victim", images.scratch("moved/copy")) == 0)
        let failure = await #expect(throws: Failure.self) { try await tools.convert(work, in: folder, .copying) }
        #expect(failure?.status == .refused && failure?.message.contains("draft/copy") == true)
        #expect(try images.scratch.text(of: "victim") == "mine")
    }

    @Test("what lies beside the images counts for the space too, and no sum overflows")
    func space() throws {
        let scratch = try ScratchFolder()
        let image = FlatImage(
            target: try #require(DiskTarget("vda")), file: "vda.raw", format: .raw, virtualSizeBytes: 1,
            allocatedBytes: 1)
        #expect(try [image].shortage(beside: scratch("new"), hint: "") == nil)
        let failure = try [image].shortage(beside: scratch("new"), with: [.max, .max], hint: "")
        #expect(failure?.status == .refused)
    }

    @Test("who wants to stop is heard before and while a program runs")
    func interrupted() async throws {
        let images = try Images()
        try await images.make("one")
        try await images.io("write -P 7 0 1M", images.scratch("one"))
        let interruption = Interruption()
        // At a byte a second it would take days.
        let tools = try tools(interruption) { _ in interruption.ask(.terminated) }
        var slow = try work(images, "one")
        slow.bandwidth = 1
        let work = slow
        for name in ["one", "two"] {
            let folder = try Folder(images.scratch.makeFolder("in-\(name)"))
            let failure = await #expect(throws: Failure.self) { try await tools.convert(work, in: folder, .copying) }
            #expect(failure?.status == .terminated && failure?.message.hasSuffix("interrupted") == true)
        }
    }

    @Test("a full disk is told as such", .enabled(if: canMount, "needs a mount namespace"))
    func full() async throws {
        let images = try Images()
        try await images.make("one")
        try await images.io("write -P 7 0 1M", images.scratch("one"))
        let tools = try tools()
        try await onTinyFilesystem { place in
            let work = try self.work(images, "one")
            let folder = try Folder(place)
            let failure = await #expect(throws: Failure.self) { try await tools.convert(work, in: folder, .copying) }
            #expect(failure?.status == .refused && failure?.message.contains("No space left") == true)
        }
    }

    @Test("how far a program has read is seen from outside")
    func position() async throws {
        let scratch = try ScratchFolder()
        try scratch.write(String(repeating: "x", count: 5000), to: "file")
        let tail = try Tool("tail", package: "coreutils")
        let gauge = Gauge(reading: 5000, of: try #require(DiskTarget("vda")), .summing)
        let seen = Mutex<UInt64?>(nil)
        let started = Mutex<pid_t?>(nil)
        let isOver = Mutex(false)
        // It stays at the file's end until it is ended. Its time begins when it does, which beside other tests may be late.
        let reading = Task { [path = scratch("file")] in
            defer { isOver.withLock { $0 = true } }
            return try await tail.run(
                ["-f", "-n", "+1", path], started: { process in started.withLock { $0 = process } }, hearing: { _ in },
                deadline: .now + .seconds(30))
        }
        while seen.withLock({ $0 }) != 5000, !isOver.withLock({ $0 }) {
            let signs = Tool.Signs(process: started.withLock { $0 })
            seen.withLock { $0 = gauge.read(signs) }
            await Task.yield()
        }
        reading.cancel()
        _ = await reading.result
        #expect(seen.withLock { $0 } == 5000)
        #expect(gauge.read(Tool.Signs()) == nil)
    }

    @Test("the last percentage that was told whole counts")
    func percent() {
        #expect(Tool.Signs.percent(in: "    (0.00/100%)\r    (12.34/100%)\r    (13.") == 12.34)
        #expect(Tool.Signs.percent(in: "    (100.00/100%)\r") == 100)
        #expect(Tool.Signs.percent(in: "4/100%)\r") == 4)
        #expect(Tool.Signs.percent(in: "    (12") == nil && Tool.Signs.percent(in: "") == nil)
        #expect(Tool.Signs.percent(in: "(900/100%)") == 100 && Tool.Signs.percent(in: "(x/100%)") == nil)
        #expect(Tool.Signs.percent(in: "(nan/100%)") == nil)
    }
}
