// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Quiesce

/// Which of the host's disks the guest means: by serial where the definition gives one, else by bus address.
struct DiskMap {
    private struct DriveAddress: Hashable {
        var controller: Quiesce.PCIAddress
        var target: Int
        var unit: Int
    }

    private var bySerial: [String: DiskTarget] = [:]
    private var byPCI: [Quiesce.PCIAddress: DiskTarget] = [:]
    private var byDrive: [DriveAddress: DiskTarget] = [:]

    init(_ disks: [DiskFacts]) {
        // virtio-blk cuts serials to 20 bytes; two that are the same then tell nothing.
        bySerial = Dictionary(grouping: disks.filter { $0.serial != nil }) { String(($0.serial ?? "").prefix(20)) }
            .compactMapValues { $0.count == 1 ? $0.first?.target : nil }
        for disk in disks where disk.device == .disk || disk.device == .lun || disk.device == .cdrom {
            switch disk.address {
            case .pci(let address): byPCI[address] = disk.target
            case .drive(let controller?, _, let target, let unit):
                byDrive[DriveAddress(controller: controller, target: target, unit: unit)] = disk.target
            case .drive, .other: break
            }
        }
    }

    func target(of disk: GuestDisk) -> DiskTarget? {
        if let serial = disk.serial, let target = bySerial[String(serial.prefix(20))] { return target }
        guard let controller = disk.pciController else { return nil }
        let address = Quiesce.PCIAddress(
            domain: controller.domain, bus: controller.bus, slot: controller.slot, function: controller.function)
        return byPCI[address] ?? byDrive[DriveAddress(controller: address, target: disk.target, unit: disk.unit)]
    }

    /// By the guest's sysfs path: `…/0000:00:05.0/virtio2/block/vda`, `…/0000:00:06.0/…/2:0:1:0/block/sda`.
    func target(sysfs path: String, serial: String) -> DiskTarget? {
        if !serial.isEmpty, let target = bySerial[String(serial.prefix(20))] { return target }
        let parts = path.split(separator: "/")
        guard let controller = parts.lazy.compactMap({ Self.pci(String($0)) }).last else { return nil }
        if let target = byPCI[controller] { return target }
        for part in parts.reversed() {
            let numbers = part.split(separator: ":").compactMap { Int($0) }
            guard numbers.count == 4, part.split(separator: ":").count == 4 else { continue }
            return byDrive[DriveAddress(controller: controller, target: numbers[2], unit: numbers[3])]
        }
        return nil
    }

    private static func pci(_ text: String) -> Quiesce.PCIAddress? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].count == 4 else { return nil }
        let last = parts[2].split(separator: ".")
        guard last.count == 2, let domain = Int(parts[0], radix: 16), let bus = Int(parts[1], radix: 16),
            let slot = Int(last[0], radix: 16), let function = Int(last[1], radix: 16)
        else { return nil }
        return Quiesce.PCIAddress(domain: domain, bus: bus, slot: slot, function: function)
    }
}
