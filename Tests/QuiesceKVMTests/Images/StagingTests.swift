// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("overlays are staged all or nothing")
struct StagingTests {
    let images: Images
    let store: QemuImages
    var scratch: ScratchFolder { images.scratch }

    init() throws {
        images = try Images()
        store = try QemuImages()
    }

    @Test("an overlay has its base's size and path, its format said and qcow2's usual clusters")
    func rawBase() async throws {
        let base = try await images.make("disk.raw", format: "raw")
        let disk = try images.disk(base: base, format: "raw", overlay: scratch("disk.s1"))
        try await store.stage([disk])
        let header = try await store.header(of: ImageLayer(path: disk.overlay, format: "qcow2"))
        #expect(header.backingPath == base)
        #expect(header.backingFormat == "raw")
        #expect(header.virtualSizeBytes == 16 << 20)
        #expect(header.clusterSizeBytes == 64 << 10)
        #expect(!header.hasExtendedL2)
        try await store.check(disk)
    }

    @Test("clusters are divided as the base divides them")
    func clusters() async throws {
        let base = try await images.make("disk.qcow2", format: "qcow2", "-o", "cluster_size=128k,extended_l2=on")
        let disk = try images.disk(base: base, overlay: scratch("disk.s1"))
        try await store.stage([disk])
        let header = try await store.header(of: ImageLayer(path: disk.overlay, format: "qcow2"))
        #expect(header.clusterSizeBytes == 128 << 10)
        #expect(header.hasExtendedL2)
    }

    @Test(
        "a name is a name, whatever is in it",
        arguments: [
            "two words", "a,b", "nbd:x", "json:{}", "-f", "100%", "$(id)", "'", "\"", "ä", "a,,b=c,size=1", "%2f", "\\",
        ])
    func oddNames(name: String) async throws {
        let base = try await images.make("base \(name)", format: "raw")
        let disk = try images.disk(base: base, format: "raw", overlay: scratch(name))
        try await store.stage([disk])
        try await store.check(disk)
        #expect(try scratch.names.sorted() == ["base \(name)", name].sorted())
    }

    @Test("an overlay takes the mode of its base", arguments: [0o600, 0o640, 0o644] as [mode_t])
    func mode(mode: mode_t) async throws {
        let base = try await images.make("disk.raw", format: "raw")
        try #require(chmod(base, mode) == 0)
        try await store.stage([try images.disk(base: base, format: "raw", overlay: scratch("disk.s1"))])
        #expect(try scratch.mode("disk.s1") == mode)
    }

    @Test("an overlay takes the owner of its base", .enabled(if: geteuid() == 0))
    func owner() async throws {
        let base = try await images.make("disk.raw", format: "raw")
        try #require(chown(base, 65534, 65533) == 0)
        try await store.stage([try images.disk(base: base, format: "raw", overlay: scratch("disk.s1"))])
        var status = stat()
        try #require(stat(scratch("disk.s1"), &status) == 0)
        #expect(status.st_uid == 65534)
        #expect(status.st_gid == 65533)
    }

    @Test("sixteen disks are staged at once")
    func many() async throws {
        var disks: [MemberPlan.Disk] = []
        for letter in "abcdefghijklmnop" {
            let base = try await images.make("\(letter).raw", format: "raw")
            disks.append(
                try images.disk("vd\(letter)", base: base, format: "raw", overlay: scratch("\(letter).s1")))
        }
        try await store.stage(disks)
        for disk in disks { try await store.check(disk) }
    }

    @Test("a file that is there already is refused, kept, and nothing else is made")
    func taken() async throws {
        let base = try await images.make("disk.raw", format: "raw")
        try scratch.write("", to: "two.s1")
        let disks = [
            try images.disk("vda", base: base, format: "raw", overlay: scratch("one.s1")),
            try images.disk("vdb", base: base, format: "raw", overlay: scratch("two.s1")),
        ]
        let failure = await #expect(throws: Failure.self) { try await store.stage(disks) }
        #expect(failure?.status == .refused)
        #expect(failure?.message == "\(scratch("two.s1")) exists already; nothing was changed")
        #expect(try scratch.names == ["disk.raw", "two.s1"])
        #expect(try scratch.text(of: "two.s1") == "")
    }

    @Test("a symbolic link with the overlay's name is not followed")
    func link() async throws {
        let base = try await images.make("disk.raw", format: "raw")
        try #require(symlink(scratch("elsewhere"), scratch("disk.s1")) == 0)
        let failure = await #expect(throws: Failure.self) {
            try await store.stage([try images.disk(base: base, format: "raw", overlay: scratch("disk.s1"))])
        }
        #expect(failure?.status == .refused)
        #expect(try scratch.names == ["disk.raw", "disk.s1"])
    }

    @Test("two disks never share an overlay")
    func twice() async throws {
        let base = try await images.make("disk.raw", format: "raw")
        let disk = try images.disk(base: base, format: "raw", overlay: scratch("disk.s1"))
        await #expect(throws: Failure.self) { try await store.stage([disk, disk]) }
        #expect(try scratch.names == ["disk.raw"])
    }

    @Test("when qemu-img fails for one disk, the overlays of all are removed again")
    func failing() async throws {
        let base = try await images.make("disk.raw", format: "raw")
        let good = try (1...6).map { number in
            try images.disk("vda", base: base, format: "raw", overlay: scratch("\(number).s1"))
        }
        let bad = try images.disk("vdb", base: base, format: "nonsense", overlay: scratch("bad.s1"))
        let failure = await #expect(throws: Failure.self) { try await store.stage(good + [bad]) }
        #expect(failure?.message.hasSuffix("; nothing was changed") == true)
        #expect(try scratch.names == ["disk.raw"])
    }

    @Test("a full filesystem is named as the reason and left as it was", .enabled(if: canMount))
    func full() async throws {
        let base = try await images.make("disk.raw", format: "raw")
        try await onTinyFilesystem { place in
            let disk = try images.disk(base: base, format: "raw", overlay: "\(place)/disk.s1")
            let failure = await #expect(throws: Failure.self) { try await store.stage([disk]) }
            #expect(failure?.message == "cannot make \(disk.overlay): No space left on device; nothing was changed")
            #expect(!exists(disk.overlay))
        }
    }

    @Test("a run that was cancelled leaves no overlay")
    func cancelled() async throws {
        let base = try await images.make("disk.raw", format: "raw")
        let disk = try images.disk(base: base, format: "raw", overlay: scratch("disk.s1"))
        let run = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await store.stage([disk])
        }
        let failure = await #expect(throws: Failure.self) { try await run.value }
        #expect(failure?.status == .interrupted)
        #expect(try scratch.names == ["disk.raw"])
    }

    @Test("paths that mean different things to different readers are refused")
    func paths() async throws {
        let base = try await images.make("disk.raw", format: "raw")
        _ = try scratch.makeFolder("real")
        try #require(symlink(scratch("real"), scratch("link")) == 0)
        for overlay in [
            "real/../disk.s1", "./disk.s1", "link/disk.s1", "none/disk.s1", "real//disk.s1", "real/", "disk.raw/s1",
            "a\nb",
        ] {
            let disk = try images.disk(base: base, format: "raw", overlay: scratch(overlay))
            let failure = await #expect(throws: Failure.self, "\(overlay)") { try await store.stage([disk]) }
            #expect(failure?.status == .refused)
        }
        #expect(try scratch.names == ["disk.raw", "link", "real"])
    }

    @Test("a symbolic link on the way is named, and the real path with it")
    func linkedFolder() async throws {
        let base = try await images.make("disk.raw", format: "raw")
        let real = try scratch.makeFolder("real")
        _ = try scratch.makeFolder("real/images")
        try #require(symlink(real, scratch("link")) == 0)
        let disk = try images.disk(base: base, format: "raw", overlay: scratch("link/images/disk.s1"))
        let failure = await #expect(throws: Failure.self) { try await store.stage([disk]) }
        #expect(failure?.message.hasPrefix("\(scratch("link")) is a symbolic link") == true)
        #expect(failure?.hint?.contains("\(real)/images/NAME") == true)
    }

    @Test("a folder where everybody may exchange files is refused, unless it is sticky as /tmp is")
    func openFolder() async throws {
        let base = try await images.make("disk.raw", format: "raw")
        let open = try scratch.makeFolder("open", mode: 0o777)
        let sticky = try scratch.makeFolder("sticky", mode: 0o1777)
        await #expect(throws: Failure.self) {
            try await store.stage([try images.disk(base: base, format: "raw", overlay: "\(open)/disk.s1")])
        }
        try await store.stage([try images.disk(base: base, format: "raw", overlay: "\(sticky)/disk.s1")])
    }

    @Test("a folder of a stranger is refused, that of the base is not", .enabled(if: geteuid() == 0))
    func stranger() async throws {
        let base = try await images.make("disk.raw", format: "raw")
        let theirs = try scratch.makeFolder("theirs")
        try #require(chown(theirs, 65534, 65534) == 0)
        let disk = try images.disk(base: base, format: "raw", overlay: "\(theirs)/disk.s1")
        await #expect(throws: Failure.self) { try await store.stage([disk]) }
        try #require(rename(base, "\(theirs)/disk.raw") == 0)
        let beside = try images.disk(base: "\(theirs)/disk.raw", format: "raw", overlay: "\(theirs)/disk.s1")
        try await store.stage([beside])
    }
}
