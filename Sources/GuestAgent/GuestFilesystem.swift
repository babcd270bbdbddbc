// SPDX-License-Identifier: Apache-2.0

/// A mounted filesystem by the guest's word (one element of guest-get-fsinfo).
public struct GuestFilesystem: Sendable, Hashable {
    /// The block device's name, such as `vda1` or `dm-0`.
    public let name: String
    public let mountpoint: String
    /// The kernel's name for the type, such as `ext4`.
    public let type: String
    public let usedBytes: Int?
    public let totalBytes: Int?
    /// The disks below it; more than one for LVM, md or btrfs, none for what the agent cannot trace.
    public let disks: [GuestDisk]

    init(_ field: ReplyField) throws(AgentError) {
        name = try field.member("name").string()
        mountpoint = try field.member("mountpoint").string()
        type = try field.member("type").string()
        usedBytes = try field.optional("used-bytes")?.integer(in: 0...Int.max)
        totalBytes = try field.optional("total-bytes")?.integer(in: 0...Int.max)
        var disks: [GuestDisk] = []
        for disk in try field.member("disk").elements() { disks.append(try GuestDisk(disk)) }
        self.disks = disks
    }
}

/// Where a disk is plugged in, as the guest sees it.
public struct GuestDisk: Sendable, Hashable {
    public struct PCIAddress: Sendable, Hashable {
        public let domain: Int
        public let bus: Int
        public let slot: Int
        public let function: Int
    }

    /// QEMU's GuestDiskBusType: `virtio`, `scsi`, `sata`, `nvme`, `unknown` …
    public let busType: String
    /// nil if the agent does not know it (it says -1) or the disk is not on PCI.
    public let pciController: PCIAddress?
    /// -1 if not known, like `target` and `unit`.
    public let bus: Int
    public let target: Int
    public let unit: Int
    public let serial: String?
    /// The device's path in the guest, such as `/dev/vda1`: the partition where there is one.
    public let dev: String?

    init(_ field: ReplyField) throws(AgentError) {
        busType = try field.member("bus-type").string()
        pciController = try PCIAddress(field.member("pci-controller"))
        bus = try field.member("bus").number()
        target = try field.member("target").number()
        unit = try field.member("unit").number()
        serial = try field.optional("serial")?.string()
        dev = try field.optional("dev")?.string()
    }
}

extension GuestDisk.PCIAddress {
    fileprivate init?(_ field: ReplyField) throws(AgentError) {
        domain = try field.member("domain").number()
        bus = try field.member("bus").number()
        slot = try field.member("slot").number()
        function = try field.member("function").number()
        guard domain >= 0, bus >= 0, slot >= 0, function >= 0 else { return nil }
    }
}

extension ReplyField {
    /// A part of an address; -1 stands for not known.
    fileprivate func number() throws(AgentError) -> Int { try integer(in: -1...Int(Int32.max)) }
}
