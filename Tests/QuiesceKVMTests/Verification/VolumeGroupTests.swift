// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import QuiesceKVM

@Suite("LVM2")
struct VolumeGroupTests {
    /// vda is pv0; vdb carries pv1 in its first partition, at 1 MiB.
    private func group(_ bench: Bench) async throws {
        try bench.blank("vda", megabytes: 64)
        try bench.blank("vdb", megabytes: 66)
        try await bench.partition("vdb", "label: gpt\nstart=2048, size=131072\n")
        try bench.write(try await LVMFixture.bytes(LVMFixture.pv0, in: bench), to: "vda", at: 0)
        try bench.write(try await LVMFixture.bytes(LVMFixture.pv1, in: bench), to: "vdb", at: 1 << 20)
    }

    /// Where extent 0 of pv0 on vda and of pv1 on vdb begin.
    private let first: UInt64 = 1 << 20
    private let second: UInt64 = 2 << 20

    @Test("filesystems on linear, adjoining, split and striped volumes over two disks are found whole")
    func layouts() async throws {
        try await Bench.with { bench in
            try await group(bench)
            let extent = LVMFixture.extent
            try await bench.ext4("linear", megabytes: 16)
            try await bench.lay("linear", into: "vda", at: first)
            try await bench.ext4("adjoin", megabytes: 8)
            try await bench.lay("adjoin", into: "vda", at: first + 36 * extent)
            // A filesystem that fills its volume and whose files reach into the second part.
            try await bench.ext4("split", megabytes: 18)
            try await bench.lay("split", into: "vda", at: first + 24 * extent, from: 0, count: 12 << 20)
            try await bench.lay("split", into: "vdb", at: second + 8 * extent, from: 12 << 20, count: 6 << 20)
            try await bench.ext4("striped", megabytes: 16)
            // Chunks of 64 KiB, in turn to the one and the other.
            let bytes = try bench.bytes(of: "striped", at: 0, count: 16 << 20)
            for chunk in 0..<256 {
                let start = chunk % 2 == 0 ? first + 16 * extent : second
                try bench.write(
                    Array(bytes[(chunk << 16)..<((chunk + 1) << 16)]), to: chunk % 2 == 0 ? "vda" : "vdb",
                    at: start + UInt64(chunk / 2) << 16)
            }
            let findings = try await bench.check(("vda", "vda", "raw"), ("vdb", "vdb", "raw"))
            let whole = findings.filter { $0.kind == "ext4" }
            #expect(whole.map(\.place) == ["lvadjoin", "lvlinear", "lvsplit", "lvstriped"].map { "vgdata/\($0)" })
            #expect(whole.map(\.targets) == [["vda"], ["vda"], ["vda", "vdb"], ["vda", "vdb"]])
            #expect(whole.allSatisfy { $0.result == .ok && $0.frozen == true })
            #expect(whole.allSatisfy { $0.detail == "frozen: journal empty; e2fsck: clean" })
            let zero = findings.first { $0.place == "vgdata/lvzero" }
            #expect(zero?.result == .notChecked)
            #expect(zero?.detail == "segment type zero cannot be read here")
            #expect(findings.first { $0.place == "vgdata/lvfar" }?.kind == "empty")
            #expect(bench.leftInScratch.isEmpty)
        }
    }

    @Test("a volume with a part on a disk that was not given is not checked, and the part is named")
    func missing() async throws {
        try await Bench.with { bench in
            try await group(bench)
            let findings = try await bench.check(("vda", "vda", "raw"))
            let split = findings.first { $0.place == "vgdata/lvsplit" }
            #expect(split?.result == .notChecked)
            #expect(split?.targets == ["vda"])
            #expect(
                split?.detail == "its physical volume Nl8hvb-ym3N-iL5Z-J5j2-NCFL-CUvd-0yEkxu is not on the given disks")
            #expect(findings.first { $0.place == "vgdata/lvlinear" }?.kind == "empty")
        }
    }

    @Test("two disks with the same physical volume are not guessed between")
    func twins() async throws {
        try await Bench.with { bench in
            try await group(bench)
            let findings = try await bench.check(("vda", "vda", "raw"), ("vdc", "vda", "raw"))
            #expect(findings.map(\.kind) == ["LVM2_member", "LVM2_member"])
            #expect(findings.allSatisfy { $0.result == .notChecked })
        }
    }

    @Test("metadata that wrap around the end of their ring are read")
    func wrapped() async throws {
        try await Bench.with { bench in
            var bytes = try await LVMFixture.bytes(LVMFixture.pv0, in: bench)
            bytes += [UInt8](repeating: 0, count: (64 << 20) - bytes.count)
            let area = 4096
            let block = Block(bytes)
            let size = Int(block.little(area + 32, as: UInt64.self))
            let text = Array(block.slice(area + Int(block.little(area + 40, as: UInt64.self)), 1 << 20))
                .prefix(Int(block.little(area + 48, as: UInt64.self)))
            bytes.replaceSubrange((area + 512)..<(area + 11776), with: [UInt8](repeating: 0, count: 11264))
            // All but the first 100 bytes go to the start of the ring.
            bytes.replaceSubrange((area + size - 100)..<(area + size), with: text.prefix(100))
            bytes.replaceSubrange((area + 512)..<(area + 512 + text.count - 100), with: text.dropFirst(100))
            bytes.replaceSubrange((area + 40)..<(area + 48), with: littleEndian(UInt64(size - 100)))
            bytes.replaceSubrange(
                area..<(area + 4), with: littleEndian(Checksum.lvm.of(bytes[(area + 4)..<(area + 512)])))
            let proof = try Proof(targets: ["vda"], disks: [Memory(bytes)])
            #expect(proof.findings.contains { $0.place == "vgdata/lvlinear" })
        }
    }

    @Test("damaged metadata leave a physical volume without a group")
    func damaged() async throws {
        try await Bench.with { bench in
            var bytes = try await LVMFixture.bytes(LVMFixture.pv0, in: bench)
            bytes[4096 + 60] ^= 1
            let proof = try Proof(targets: ["vda"], disks: [Memory(bytes)])
            #expect(proof.findings.map(\.kind) == ["LVM2_member"])
            #expect(proof.findings.first?.uuid == "VByP0o-jir0-TPM3-TqOK-B2Ur-C4l6-nyfyuY")
        }
    }

    private func parts(_ segment: String, extent: String = "2048") throws -> [VolumeGroup.LogicalVolume] {
        let text = """
            vg {
            id = "a"
            seqno = 1
            extent_size = \(extent)
            physical_volumes { pv0 { id = "P" pe_start = 2048 } }
            logical_volumes { lv { status = ["VISIBLE"] segment1 { type = "striped" \(segment) } } }
            }
            """
        let group = try #require(MetadataText.parse(Array(text.utf8)).flatMap(VolumeGroup.init))
        let disk = Memory([UInt8](repeating: 0, count: 4 << 20))
        let volume = try #require(Volume(disks: [disk], disk: 0, offset: 0, length: disk.size))
        let label = try #require(PhysicalVolumeLabel(Memory.labelled))
        let physical = PhysicalVolume(place: "vda", targets: ["vda"], volume: volume, label: label)
        return group.logicalVolumes(on: ["P": physical], disks: [disk])
    }

    @Test(
        "numbers that reach outside, wrap or make no sense are refused",
        arguments: [
            ("start_extent = 0 extent_count = 4 stripes = [\"pv0\", 0]", "2048"),
            ("start_extent = 0 extent_count = 1 stripes = [\"pv0\", 3]", "2048"),
            ("start_extent = 1 extent_count = 1 stripes = [\"pv0\", 0]", "2048"),
            ("start_extent = 0 extent_count = -1 stripes = [\"pv0\", 0]", "2048"),
            ("start_extent = 0 extent_count = 0 stripes = [\"pv0\", 0]", "2048"),
            ("start_extent = 0 extent_count = 9223372036854775807 stripes = [\"pv0\", 0]", "2048"),
            ("start_extent = 0 extent_count = 1 stripes = [\"pv0\", 9223372036854775807]", "2048"),
            ("start_extent = 0 extent_count = 1 stripes = [\"pv0\", -1]", "2048"),
            ("start_extent = 0 extent_count = 1 stripes = [\"pv9\", 0]", "2048"),
            ("start_extent = 0 extent_count = 1 stripes = []", "2048"),
            ("start_extent = 0 extent_count = 1 stripes = [\"pv0\", 0, \"pv0\", 1] stripe_size = 0", "2048"),
            ("start_extent = 0 extent_count = 1 stripes = [\"pv0\", 0, \"pv0\", 1] stripe_size = 3", "2048"),
            ("start_extent = 0 extent_count = 1 stripes = [\"pv0\", 0]", "0"),
            ("start_extent = 0 extent_count = 1 stripes = [\"pv0\", 0]", "9223372036854775807"),
        ])
    func hostileNumbers(segment: String, extent: String) throws {
        let volumes = try parts(segment, extent: extent)
        #expect(volumes.count == 1)
        #expect(throws: VolumeGroup.Unreadable.self) { try volumes.first?.volume.get() }
    }

    @Test("the same text with numbers that fit is laid out")
    func plainNumbers() throws {
        let volumes = try parts("start_extent = 0 extent_count = 3 stripes = [\"pv0\", 0]")
        let piece = try volumes.first?.volume.get().flat
        #expect(piece == Volume.Piece(disk: 0, offset: 1 << 20, length: 3 << 20))
    }

    @Test(
        "a text with wrong form is refused",
        arguments: [
            "a {", "a }", "}", "a = ", "a = [1, 2", "a = \"x", "a = \"\\", "= 1", "a = 1 a = 2", "a { } a { }", "a = {",
            "a b", "a = [[1]]", "a = 99999999999999999999", "€ = 1",
            String(repeating: "a {", count: 9) + String(repeating: "}", count: 9),
        ])
    func wrongForm(text: String) {
        #expect(MetadataText.parse(Array(text.utf8)) == nil)
    }

    @Test("depth, count and size are bounded without recursion")
    func bounds() {
        #expect(MetadataText.parse(Array(String(repeating: "a {", count: 500_000).utf8)) == nil)
        #expect(MetadataText.parse(Array(("a = [" + String(repeating: "1,", count: 500_000) + "]").utf8)) == nil)
        #expect(MetadataText.parse([UInt8](repeating: 0x20, count: MetadataText.sizeLimit + 1)) == nil)
    }

    @Test("a section with very many keys is read in one pass", .timeLimit(.minutes(1)))
    func wide() {
        // Copying the section for each key would take many minutes.
        let text = (0..<190_000).map { "k\($0)=1\n" }.joined()
        #expect(MetadataText.parse(Array(text.utf8))?.integer("k189999") == 1)
    }

    @Test("no change of any byte makes the metadata reader trap")
    func fuzz() async throws {
        try await Bench.with { bench in
            let fixture = Block(try await LVMFixture.bytes(LVMFixture.pv0, in: bench))
            let start = 4096 + Int(fixture.little(4096 + 40, as: UInt64.self))
            let text = Array(fixture.slice(start, Int(fixture.little(4096 + 48, as: UInt64.self))))
            let disk = Memory([UInt8](repeating: 0, count: 1 << 20))
            let volume = try #require(Volume(disks: [disk], disk: 0, offset: 0, length: disk.size))
            let label = try #require(PhysicalVolumeLabel(fixture))
            let physical = PhysicalVolume(place: "vda", targets: ["vda"], volume: volume, label: label)
            var random = Seeded(1)
            var parsed = 0
            for _ in 0..<400 {
                var mutant = text
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    mutant[Int.random(in: mutant.indices, using: &random)] = UInt8.random(
                        in: 0x20...0x7E, using: &random)
                }
                guard let group = MetadataText.parse(mutant).flatMap(VolumeGroup.init) else { continue }
                parsed += 1
                for logical in group.logicalVolumes(on: [label.uuid: physical], disks: [disk]) {
                    _ = try? logical.volume.get().read(at: 0, count: 1 << 17)
                }
            }
            // Most changes leave a legal text, so the layout saw them too.
            #expect(parsed > 100)
        }
    }
}
