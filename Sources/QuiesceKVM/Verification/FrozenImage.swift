// SPDX-License-Identifier: Apache-2.0

/// The image of one disk as the cut left it: the backing file of the overlay that the guest writes to now.
public struct FrozenImage: Sendable, Hashable {
    /// The disk's target in the guest, such as `vda`.
    public var target: String
    public var path: String
    /// `raw` or `qcow2`, as known from libvirt: never probed, since a guest can write any header into a raw disk.
    public var format: String

    public init(target: String, path: String, format: String) {
        self.target = target
        self.path = path
        self.format = format
    }
}
