// SPDX-License-Identifier: Apache-2.0

import CLibvirt

extension Domain {
    /// Sends one QMP command to QEMU itself and gives its reply, both JSON text (`virDomainQemuMonitorCommand`).
    ///
    /// Asking changes nothing (`query-named-block-nodes`), but libvirt cannot know: it taints the domain
    /// `custom-monitor`. A command QEMU refuses is a success here; its reply then has `error` in the place of
    /// `return`.
    public func monitorCommand(_ command: String) throws(LibvirtError) -> String {
        var reply: UnsafeMutablePointer<CChar>?
        return try text("virDomainQemuMonitorCommand") {
            virDomainQemuMonitorCommand(handle, command, &reply, 0) < 0 ? nil : reply
        }
    }
}
