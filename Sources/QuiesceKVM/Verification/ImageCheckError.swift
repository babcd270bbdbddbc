// SPDX-License-Identifier: Apache-2.0

/// Why there are no findings at all. What concerns one place is a finding that says `notChecked`.
public enum ImageCheckError: Error, Hashable, CustomStringConvertible {
    /// Someone writes to the image, says QEMU's image locking: a commit, for example. `holder` is the name and id of
    /// the process where it could be found.
    case imageInUse(image: String, holder: String?)
    /// The scratch folder takes no work folder.
    case scratchUnusable(folder: String, reason: String)
    case cancelled

    public var description: String {
        switch self {
        case .imageInUse(let image, let holder):
            "image \(image): in use for writing by \(holder ?? "another process"), try again when it is done"
        case .scratchUnusable(let folder, let reason):
            "scratch folder \(folder): \(reason)"
        case .cancelled:
            "check of the images: cancelled"
        }
    }
}
