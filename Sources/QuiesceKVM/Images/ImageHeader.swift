// SPDX-License-Identifier: Apache-2.0

import JSON
import Quiesce

/// What `qemu-img info` reports of one image file; its backing file is not opened.
public struct ImageHeader: Sendable, Hashable {
    public var format: String
    public var virtualSizeBytes: Int64
    /// Nil for formats without clusters.
    public var clusterSizeBytes: Int64?
    public var hasExtendedL2: Bool
    /// As it stands in the image; may be relative to the image's own folder.
    public var backingPath: String?
    public var backingFormat: String?
    /// Names of the internal snapshots.
    public var snapshots: [String]
    /// Bytes that the file takes on the host's disk: for an overlay, its growth.
    public var actualSizeBytes: Int64

    init?(_ info: JSONValue) {
        guard let format = info["format"]?.string, let size = info["virtual-size"]?.integer, size >= 0,
            let actual = info["actual-size"]?.integer
        else { return nil }
        self.format = format
        virtualSizeBytes = size
        clusterSizeBytes = info["cluster-size"]?.integer
        hasExtendedL2 = info["format-specific"]?["data"]?["extended-l2"]?.bool ?? false
        backingPath = info["backing-filename"]?.string
        backingFormat = info["backing-filename-format"]?.string
        snapshots = (info["snapshots"]?.array ?? []).compactMap { $0["name"]?.string }
        actualSizeBytes = actual
    }

    /// How this differs from the overlay that was planned, in words; nil if it does not.
    func difference(from disk: MemberPlan.Disk) -> String? {
        if format != "qcow2" { return "its format is \(format), not qcow2" }
        if virtualSizeBytes != disk.virtualSizeBytes {
            return "its size is \(virtualSizeBytes) bytes, the disk's is \(disk.virtualSizeBytes)"
        }
        if backingPath != disk.base.path {
            return "it lies on \(backingPath ?? "nothing"), not on \(disk.base.path)"
        }
        if backingFormat != disk.base.format {
            return "it takes \(disk.base.path) for \(backingFormat ?? "any format"), not \(disk.base.format)"
        }
        return nil
    }
}
