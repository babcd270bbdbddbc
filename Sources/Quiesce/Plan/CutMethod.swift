// SPDX-License-Identifier: Apache-2.0

/// How the disks of a plan come to their one point in time.
public enum CutMethod: Sendable, Hashable {
    /// One QEMU transaction, while the guest runs.
    case live
    /// The guest is off: its saved definition moves to the overlays.
    case atRest
    /// Inside the qcow2 images of a guest that is off; there are no overlays.
    case inside
    /// As ``live``, with RAM and processor state of the same moment in this file.
    case withMemory(String)

    init(_ facts: GuestFacts, _ request: SnapshotRequest) {
        if request.isInternal {
            self = .inside
        } else if let file = request.memoryFile {
            self = .withMemory(file)
        } else if !request.isDrill, facts.power == .shutOff || request.shutsDown != nil {
            self = .atRest
        } else {
            self = .live
        }
    }

    /// Nothing runs that could be frozen.
    public var isAtRest: Bool { self == .atRest || self == .inside }
    /// Only then are applications prepared and filesystems frozen.
    var holdsStill: Bool { self == .live }
    /// Where RAM and processor state go.
    public var memoryFile: String? { if case .withMemory(let file) = self { file } else { nil } }
}
