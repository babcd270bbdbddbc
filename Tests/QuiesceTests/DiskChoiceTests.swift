// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Quiesce

@Suite("The choice of disks")
struct DiskChoiceTests {
    /// Disks that can never be cut, each with a word of the reason.
    private enum Odd: String, CaseIterable, Sendable {
        case cdrom, floppy, lun, readOnly, transient, shareable, empty, network, volume, other

        var reason: String {
            switch self {
            case .cdrom: "cdrom"
            case .floppy: "floppy"
            case .lun: "LUN"
            case .readOnly: "read-only"
            case .transient: "transient"
            case .shareable: "shareable"
            case .empty: "no medium"
            case .network: "rbd"
            case .volume: "pool fast"
            case .other: "vhostuser"
            }
        }

        func disk() throws -> DiskFacts {
            var disk = try Sample.disk("vdc", "/srv/kvm/odd.qcow2")
            switch self {
            case .cdrom: disk.device = .cdrom
            case .floppy: disk.device = .floppy
            case .lun: disk.device = .lun
            case .readOnly: disk.isReadOnly = true
            case .transient: disk.isTransient = true
            case .shareable: disk.isShareable = true
            case .empty: disk.source = .none
            case .network: disk.source = .network("rbd")
            case .volume: (disk.source, disk.liveChain) = (.volume(pool: "fast", name: "odd"), [])
            case .other: disk.source = .other("vhostuser")
            }
            return disk
        }
    }

    private func choose(_ selection: Selection, of disks: [DiskFacts], excluding: [DiskTarget: String] = [:]) throws
        -> DiskChoice
    {
        var request = try Sample.request()
        request.selection = selection
        request.exclusions = excluding
        return DiskChoice(of: try Sample.facts(disks: disks), for: request)
    }

    private func block(_ name: String) throws -> DiskFacts {
        var disk = try Sample.disk(name, "/dev/vg0/\(name)")
        disk.source = .block("/dev/vg0/\(name)")
        return disk
    }

    private func names(_ choice: DiskChoice) -> [String] { choice.chosen.map(\.target.description) }

    @Test("without a selection every disk is cut, in the definition's order")
    func all() throws {
        let choice = try choose(.all, of: [Sample.data(), Sample.root()])
        #expect(names(choice) == ["vdb", "vda"])
        #expect(choice.leftOut.isEmpty && choice.findings.isEmpty)
    }

    @Test("a disk that cannot be cut is left out with its reason", arguments: Odd.allCases)
    private func oddDisks(_ odd: Odd) throws {
        let choice = try choose(.all, of: [Sample.root(), odd.disk()])
        #expect(names(choice) == ["vda"])
        #expect(choice.leftOut.map(\.target.description) == ["vdc"])
        #expect(choice.leftOut.first?.reason.contains(odd.reason) == true)
        #expect(choice.findings.isEmpty)
    }

    @Test("a disk that cannot be cut and is asked for by name is refused", arguments: Odd.allCases)
    private func oddDisksAskedFor(_ odd: Odd) throws {
        let vdc = try Sample.target("vdc")
        for selection in [Selection.only([vdc]), .specs([DiskSpec(target: vdc, file: "/srv/kvm/o.qcow2")])] {
            let choice = try choose(selection, of: [Sample.root(), odd.disk()])
            #expect(choice.findings.weight(of: "disk.impossible") == .refuses(.refused))
            #expect(choice.findings["disk.impossible"]?.text.contains(odd.reason) == true)
        }
    }

    @Test("a disk that cannot be cut may be excluded by name")
    func oddDiskExcluded() throws {
        let choice = try choose(.excluding(Sample.targets("vdc")), of: [Sample.root(), Odd.lun.disk()])
        #expect(names(choice) == ["vda"])
        #expect(choice.findings.isEmpty)
    }

    @Test("--disk takes these alone, even what the configuration leaves out")
    func only() throws {
        let choice = try choose(
            .only(Sample.targets("vdb")), of: [Sample.root(), Sample.data()],
            excluding: [Sample.target("vdb"): "config"])
        #expect(names(choice) == ["vdb"])
        #expect(choice.leftOut.map(\.reason) == ["not among --disk"])
        #expect(choice.findings.isEmpty)
    }

    @Test("--exclude leaves these out besides those of the configuration")
    func excluding() throws {
        let disks = [try Sample.root(), try Sample.data(), try Sample.disk("vdc", "/srv/kvm/swap.qcow2")]
        let choice = try choose(
            .excluding(Sample.targets("vdb")), of: disks,
            excluding: [Sample.target("vdc"): "swap (config.yaml line 12)"])
        #expect(names(choice) == ["vda"])
        #expect(choice.leftOut.map(\.reason) == ["--exclude", "swap (config.yaml line 12)"])
    }

    @Test("--diskspec includes the disks it does not list, as virsh does")
    func specs() throws {
        let disks = [try Sample.root(), try Sample.data(), try Sample.disk("vdc", "/srv/kvm/swap.qcow2")]
        let vdc = try Sample.target("vdc")
        let external = try choose(.specs([DiskSpec(target: Sample.target("vdb"))]), of: disks)
        #expect(names(external) == ["vda", "vdb", "vdc"])
        let without = try choose(.specs([DiskSpec(target: vdc, mode: .no)]), of: disks)
        #expect(names(without) == ["vda", "vdb"])
        #expect(without.leftOut.map(\.reason) == ["--diskspec snapshot=no"])
    }

    @Test("--diskspec external overrules the configuration, an unlisted disk obeys it")
    func specsAndConfiguration() throws {
        let vdb = try Sample.target("vdb")
        let disks = [try Sample.root(), try Sample.data()]
        let listed = try choose(.specs([DiskSpec(target: vdb)]), of: disks, excluding: [vdb: "config"])
        #expect(names(listed) == ["vda", "vdb"])
        let unlisted = try choose(
            .specs([DiskSpec(target: Sample.target("vda"))]), of: disks, excluding: [vdb: "config"])
        #expect(names(unlisted) == ["vda"])
    }

    @Test("an internal snapshot is a usage error")
    func internalMode() throws {
        let choice = try choose(.specs([DiskSpec(target: Sample.target("vda"), mode: .internal)]), of: [Sample.root()])
        #expect(choice.findings.weight(of: "disk.internal") == .refuses(.usage))
    }

    @Test("a block device is refused until file= says where its overlay goes")
    func blockDevice() throws {
        let refused = try choose(.all, of: [Sample.root(), block("vdc")])
        #expect(refused.findings.weight(of: "disk.block") == .refuses(.refused))
        #expect(refused.findings["disk.block"]?.fix.first?.contains("vdc,file=") == true)
        let spec = DiskSpec(target: try Sample.target("vdc"), file: "/srv/kvm/vdc.qcow2")
        let taken = try choose(.specs([spec]), of: [Sample.root(), block("vdc")])
        #expect(names(taken) == ["vda", "vdc"])
        #expect(taken.findings.isEmpty)
    }

    @Test("a disk the guest does not have is a usage error that lists those it has")
    func unknown() throws {
        let vdz = try Sample.target("vdz")
        for selection in [Selection.only([vdz]), .excluding([vdz]), .specs([DiskSpec(target: vdz, mode: .no)])] {
            let choice = try choose(selection, of: [Sample.root(), Sample.data()])
            #expect(choice.findings.weight(of: "disk.unknown") == .refuses(.usage))
            #expect(choice.findings["disk.unknown"]?.fix == ["it has: vda vdb"])
        }
    }

    @Test("a disk named twice is a usage error")
    func twice() throws {
        let vda = try Sample.target("vda")
        let specs = Selection.specs([DiskSpec(target: vda), DiskSpec(target: vda, mode: .no)])
        for selection in [Selection.only([vda, vda]), .excluding([vda, vda]), specs] {
            let choice = try choose(selection, of: [Sample.root(), Sample.data()])
            #expect(choice.findings.weight(of: "disk.twice") == .refuses(.usage))
        }
    }

    @Test("a choice that leaves nothing is refused")
    func nothingLeft() throws {
        let excluded = try choose(.excluding(Sample.targets("vda")), of: [Sample.root()])
        #expect(excluded.findings.weight(of: "disk.none") == .refuses(.refused))
        let cdromAlone = try choose(.all, of: [Odd.cdrom.disk()])
        #expect(cdromAlone.findings.weight(of: "disk.none") == .refuses(.refused))
        let none = try choose(.all, of: [])
        #expect(none.findings.weight(of: "disk.none") == .refuses(.refused))
    }
}
