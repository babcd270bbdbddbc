// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("who else names an image")
struct ImageUsersTests {
    let images: Images
    var scratch: ScratchFolder { images.scratch }

    init() throws { images = try Images() }

    private func definition(_ disks: String...) -> String {
        "<domain><devices>" + disks.joined() + "</devices></domain>"
    }

    private func disk(_ target: String, _ path: String, format: String = "qcow2") -> String {
        "<disk type='file'><driver type='\(format)'/><source file='\(path)'/><target dev='\(target)'/></disk>"
    }

    private func users(
        of image: String, _ others: [(name: String, xml: [String])] = [], live: String? = nil, saved: String? = nil,
        volumes: [PoolVolume: String] = [:]
    ) throws -> Set<String> {
        try ImageUsers(
            others: others, of: "db01", live: live ?? definition(), saved: saved, volumes: volumes
        ).users(of: [image])[image] ?? []
    }

    @Test("is told by the file, however either path is spelled, and by every header below")
    func spelling() async throws {
        try #require(mkdir(scratch("a"), 0o755) == 0 && mkdir(scratch("t"), 0o755) == 0)
        let base = try await images.make("t/base")
        try #require(symlink(scratch("t"), scratch("link")) == 0)
        let ours = scratch("a") + "/../t/base"
        for name in [base, "../t/base", scratch("link/base"), "./../t/base"] {
            let top = try await images.make("a/top", format: "qcow2", "-u", "-b", name, "-F", "qcow2")
            #expect(try users(of: ours, [("web", [definition(disk("vda", top))])]) == ["web"], "\(name)")
            try #require(unlink(top) == 0)
        }
        let top = try await images.make("a/top", format: "qcow2", "-b", base, "-F", "qcow2")
        #expect(try users(of: base, [("web", [definition(disk("vda", top, format: "raw"))])]).isEmpty)
    }

    @Test("is told of an image that does not say in which format it stands on another")
    func noFormat() async throws {
        let base = try await images.make("base")
        let top = try await images.make("top", format: "qcow2", "-b", base, "-F", "qcow2")
        // qemu-img makes none like it any more. The number is that of the header's extension with the format.
        let file = try #require(FileHandle(forUpdatingAtPath: top))
        let head = try #require(try file.read(upToCount: 512))
        let place = try #require(head.firstRange(of: [0xE2, 0x79, 0x2A, 0xCA]))
        try file.seek(toOffset: UInt64(place.lowerBound))
        try file.write(contentsOf: Data([0x12]))
        try file.close()
        #expect(throws: ReadFailure.self) {
            try ImageChain(of: FrozenImage(target: "vda", path: top, format: "qcow2"))
        }
        #expect(try users(of: base, [("web", [definition(disk("vda", top))])]) == ["web"])
    }

    @Test("is told of a pool's volume")
    func volume() async throws {
        let base = try await images.make("base")
        let xml = definition(
            "<disk type='volume'><driver type='qcow2'/><source pool='p' volume='v'/><target dev='vda'/></disk>")
        let volume = try #require(try DomainDefinition.volumes(in: xml).first)
        #expect(try users(of: base, [("web", [xml])], volumes: [volume: base]) == ["web"])
    }

    @Test("is told of the guest's own saved definition, where the running one does not name the image too")
    func saved() async throws {
        let (one, two) = (try await images.make("one"), try await images.make("two"))
        let (live, saved) = (definition(disk("vda", one)), definition(disk("vda", one), disk("vdb", two)))
        #expect(try users(of: one, live: live, saved: saved).isEmpty)
        #expect(try users(of: two, live: live, saved: saved) == ["the saved definition of db01"])
    }

    @Test("is not told by what a guest wrote to the head of its own raw disk")
    func forged() async throws {
        let base = try await images.make("base")
        let forged = try await images.make("web.raw", format: "qcow2", "-b", base, "-F", "qcow2")
        let xml = definition(disk("vda", forged, format: "raw"))
        let users = try ImageUsers(
            others: [("web", [xml])], of: "db01", live: definition(), saved: nil, volumes: [:])
        #expect(users.raw == [forged] && users.users(of: [base]).isEmpty)
        #expect(try await QemuImages().imagesLying(on: [base], apartFrom: users.raw).isEmpty)
    }

    @Test("is told of images in the folder, but not of the guest's own by another name")
    func folder() async throws {
        let base = try await images.make("base")
        let top = try await images.make("top", format: "qcow2", "-b", "./base", "-F", "qcow2")
        try #require(symlink(scratch.path, scratch("here")) == 0)
        let store = try QemuImages()
        #expect(try await store.imagesLying(on: [base], apartFrom: []) == [base: [top]])
        #expect(try await store.imagesLying(on: [base, scratch("here/top")], apartFrom: []).isEmpty)
        let linked = scratch("here/base")
        #expect(try await store.imagesLying(on: [linked], apartFrom: [])[linked]?.count == 1)
    }
}
