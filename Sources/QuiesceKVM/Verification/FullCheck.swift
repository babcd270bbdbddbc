// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Runs each filesystem's own checker on a throw-away copy of its place.
struct FullCheck: Sendable {
    let disks: [FrozenDisk]
    let folder: WorkFolder
    let daemon: StorageDaemon
    let deadline: ContinuousClock.Instant

    func run(
        _ proof: Proof, progress: @Sendable (ImageCheck.Progress) -> Void
    ) async throws(StorageDaemonError) -> [FilesystemFinding] {
        let total = proof.places.count { $0.superblock.checker != nil }
        var number = 0
        var findings: [FilesystemFinding] = []
        for place in proof.places {
            var finding = place.finding
            if let checker = place.superblock.checker {
                number += 1
                progress(.checking(place: place.name, number: number, of: total))
                let outcome = try await check(place, with: checker, number: number)
                finding.result = outcome.result
                finding.detail += "; \(outcome.detail)"
            }
            findings.append(finding)
        }
        return findings + proof.closed
    }

    private func check(
        _ place: Proof.Place, with checker: Superblock.Checker, number: Int
    ) async throws(StorageDaemonError) -> Superblock.Checker.Outcome {
        do throws(StorageDaemonError) {
            guard let piece = place.volume.flat else {
                let copy = try await ScatteredCopy(
                    of: place.volume, in: folder, named: "copy-\(number)", deadline: deadline)
                defer { copy.remove() }
                return try await checker.check(copy.path, deadline: deadline)
            }
            return try await onOverlay(of: piece, of: place.volume, number: number) { file throws(StorageDaemonError) in
                try await checker.check(file, deadline: deadline)
            }
        } catch {
            // One place that cannot be opened does not take the others' findings with it.
            guard case .notAvailable(let reason) = error else { throw error }
            return Superblock.Checker.Outcome(result: .notChecked, detail: reason)
        }
    }

    /// Exports `piece` writable for the time of `body`: what is written goes to a qcow2 that is thrown away.
    private func onOverlay(
        of piece: Volume.Piece, of volume: Volume, number: Int,
        _ body: @escaping @Sendable (String) async throws(StorageDaemonError) -> Superblock.Checker.Outcome
    ) async throws(StorageDaemonError) -> Superblock.Checker.Outcome {
        let overlay = "\(folder.path)/overlay-\(number)"
        defer { unlink(overlay) }
        let file = try folder.exportFile("place-\(number)")
        do {
            let size = volume.disks[piece.disk].size
            let made = try await Tool("qemu-img", package: "qemu-utils")
                .run(["create", "-q", "-f", "qcow2", overlay, "\(size)"], deadline: deadline)
            guard made.succeeded else { throw ReadFailure(reason: "qemu-img create: \(made.reason)") }
        } catch ToolError.cancelled {
            throw .cancelled
        } catch {
            throw .notAvailable("\(error)")
        }
        var graph = ExportGraph()
        let backing = graph.add(disks[piece.disk].chain, named: "disk")
        graph.export(graph.add(overlay: overlay, on: backing, piece: piece), at: file, writable: true)
        return try await daemon.whileServing(graph, named: "place-\(number)", deadline: deadline + .seconds(10)) {
            () async throws(StorageDaemonError) in try await body(file)
        }
    }
}
