// SPDX-License-Identifier: Apache-2.0

/// What a snapshot holds beside its disks: the guest's memory, its UEFI variables.
extension SnapshotRun {
    func reserveMemory(_ record: inout RunRecord) async throws(Failure) {
        guard let file = plan.method.memoryFile, let disk = plan.disks.first else { return }
        do throws(Failure) {
            try await ports.images.reserve(file, beside: disk.base.path)
        } catch {
            await ports.images.discard(plan.staged.map(\.overlay))
            throw error
        }
        record.hasMemoryFile = true
    }

    /// A memory file without its snapshot.
    func dropMemory(_ record: inout RunRecord) async {
        guard record.hasMemoryFile, let file = plan.method.memoryFile else { return }
        record.hasMemoryFile = false
        do throws(Failure) {
            try await ports.images.remove([file], of: run)
        } catch {
            tell(.note("\(file) is left over: \(error.message)"))
        }
    }

    /// The variables change rarely and not by a freeze; they are copied as soon as nothing waits for it any more.
    func keepVariables(_ record: inout RunRecord) async {
        if record.isCut, let file = plan.method.memoryFile {
            do throws(Failure) {
                record.memory = .init(file: file, bytes: try await ports.images.seal(file))
            } catch {
                tell(.note(error.message))
            }
        }
        guard record.isCut, let source = plan.facts.nvram else { return }
        do throws(Failure) {
            let bytes = try await ports.images.contents(of: source)
            let digest = ports.images.sha256(of: bytes)
            record.nvram = (.init(source: source, file: MemberReport.Variables.file, sha256: digest), bytes)
        } catch {
            record.verdict.reasons.append("its UEFI variables are not in the snapshot: \(error.message)")
        }
    }
}

extension Hypervisor {
    /// The cut, as the plan has it made.
    func cut(
        _ plan: MemberPlan, named name: SnapshotName, interruption: Interruption,
        progress: @escaping @Sendable (MemoryProgress) -> Void
    ) async throws(Failure) {
        switch plan.method {
        case .live:
            try await cut(plan.disks, leaving: plan.leftOut.map(\.target), named: name)
        case .atRest:
            try await point(
                plan.disks.map {
                    Repointing(
                        target: $0.target, from: $0.base.path, to: ImageLayer(path: $0.overlay, format: "qcow2"))
                })
        case .inside:
            try await cutInside(plan.order(name))
        case .withMemory(let file):
            try await cut(plan.order(name), withMemoryIn: file, interruption: interruption, progress: progress)
        }
    }
}
