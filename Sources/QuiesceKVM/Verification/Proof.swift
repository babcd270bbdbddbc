// SPDX-License-Identifier: Apache-2.0

import Libvirt

/// What tables and superblocks alone say about a set of disks.
struct Proof: Sendable {
    struct Place: Sendable {
        let name: String
        let targets: [String]
        let volume: Volume
        let superblock: Superblock

        var finding: FilesystemFinding {
            FilesystemFinding(
                place: name, targets: targets, kind: superblock.kind, uuid: superblock.uuid, result: superblock.result,
                frozen: superblock.frozen, detail: superblock.detail)
        }
    }

    let places: [Place]
    /// Places that cannot be looked into.
    let closed: [FilesystemFinding]

    var findings: [FilesystemFinding] { places.map(\.finding) + closed }

    init(targets: [String], disks: [any ByteSource]) throws(ReadFailure) {
        let survey = try Survey(targets: targets, disks: disks)
        var places: [Place] = []
        for place in survey.places {
            var superblock = try Superblock.identify(place.volume)
            if superblock.kind == "data", place.isBootCode { superblock.kind = "bootcode" }
            places.append(
                Place(name: place.name, targets: place.targets, volume: place.volume, superblock: superblock))
        }
        self.places = places
        closed = survey.closed
    }

    /// Reads raw files, on a thread of its own: a read blocks for as long as the host's storage does.
    static func read(_ files: [String], targets: [String]) async throws(StorageDaemonError) -> Proof {
        do throws(ReadFailure) {
            return try await BlockingLane(label: "stillpoint.images").run { () throws(ReadFailure) in
                var disks: [any ByteSource] = []
                for file in files { disks.append(try DiskFile(path: file)) }
                return try Proof(targets: targets, disks: disks)
            }
        } catch { throw .notAvailable(error.reason) }
    }
}
