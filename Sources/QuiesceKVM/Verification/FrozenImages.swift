// SPDX-License-Identifier: Apache-2.0

import Quiesce

/// Looks into the frozen images on this host, through `ImageCheck`.
struct FrozenImages: ImageVerifier {
    /// Folder for throw-away overlays.
    let scratch: String

    private static let quick: Duration = .seconds(60)
    private static let thorough: Duration = .seconds(3600)

    func check(_ disks: [MemberReport.Disk], thoroughly: Bool) async -> [FilesystemProof] {
        let images = disks.map {
            FrozenImage(target: $0.target.description, path: $0.frozenImage, format: $0.format)
        }
        do throws(ImageCheckError) {
            return try await ImageCheck(images: images, scratch: scratch).run(
                depth: thoroughly ? .full : .proof,
                deadline: .now + (thoroughly ? Self.thorough : Self.quick)
            ).map(FilesystemProof.init)
        } catch {
            return images.map {
                FilesystemProof(
                    place: $0.target, targets: [$0.target], kind: "unknown", uuid: nil, frozen: nil,
                    check: Check(.notChecked, "\(error)"))
            }
        }
    }
}

extension FilesystemProof {
    fileprivate init(_ finding: FilesystemFinding) {
        let result: Check.Result =
            switch finding.result {
            case .ok: .ok
            case .failed: .failed
            case .notChecked: .notChecked
            }
        self.init(
            place: finding.place, targets: finding.targets, kind: finding.kind, uuid: finding.uuid,
            frozen: finding.frozen, check: Check(result, finding.detail))
    }
}
