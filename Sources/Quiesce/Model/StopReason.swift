// SPDX-License-Identifier: Apache-2.0

/// Why a guest is off, by libvirt's word (`virDomainShutoffReason`).
public enum StopReason: String, Codable, Sendable, CaseIterable {
    /// The daemon was started after the guest went off.
    case unknown
    /// By itself: the guest's system powered it off.
    case shutdown
    case destroyed, crashed, migrated
    /// Its memory lies in a file.
    case saved
    case failed
    case fromSnapshot
    /// The daemon ended it.
    case daemon

    /// After "it is off: ".
    var words: String {
        switch self {
        case .unknown: "libvirt was started since and does not know why"
        case .shutdown: "it shut down"
        case .destroyed: "its power was taken away"
        case .crashed: "it crashed"
        case .migrated: "it moved to another host"
        case .saved: "its memory was saved to a file"
        case .failed: "its QEMU failed"
        case .fromSnapshot: "it was reverted to a snapshot"
        case .daemon: "libvirt's daemon ended it"
        }
    }
}
