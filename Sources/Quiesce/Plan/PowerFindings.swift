// SPDX-License-Identifier: Apache-2.0

/// Whether the guest is in the state that the way of the cut asks for.
extension GuestFacts {
    func powerFindings(_ request: SnapshotRequest, _ method: CutMethod) -> [Finding] {
        switch power {
        case .running:
            if request.shutsDown != nil { return shutdownFindings }
            guard method == .inside else { return [] }
            return [
                refusal(
                    "guest.running", "\(guest.name) runs: an internal snapshot is taken of a guest that is off",
                    fix: ["--internal --shutdown   shuts it down, and starts it again"])
            ]
        case .paused(let why):
            return [
                refusal(
                    "guest.paused",
                    "\(guest.name) is paused (\(why)): its agent cannot answer, and no thaw could reach it",
                    fix: ["virsh resume \(guest.name)"])
            ]
        case .shutOff:
            return restFindings(method)
        case .other(let state):
            return [refusal("guest.state", "\(guest.name) is \(state), not running")]
        }
    }

    private func restFindings(_ method: CutMethod) -> [Finding] {
        let name = guest.name
        guard method.isAtRest else {
            let missing = method == .live ? "nothing in it can be frozen" : "it has no memory to save"
            return [refusal("guest.shutOff", "\(name) is shut off: \(missing)", fix: ["virsh start \(name)"])]
        }
        if hasManagedSave {
            return [
                refusal(
                    "guest.saved",
                    "the memory of \(name) is saved to a file that names the disks as they are: started from it after the cut, it would write to the frozen images",
                    fix: ["virsh start \(name)", "or give its memory up:   virsh managedsave-remove \(name)"])
            ]
        }
        let reason = stopReason ?? .unknown
        if reason == .shutdown { return [Finding(.fine, "guest.off", "shut down by itself")] }
        return [
            Finding(
                .limits(.crash), "guest.stop",
                "nothing says that \(name) shut down cleanly: \(reason.words)",
                fix: ["virsh start \(name), and then   stillpoint snapshot \(name) --shutdown"])
        ]
    }

    private var shutdownFindings: [Finding] {
        var findings: [Finding] = []
        if !isPersistent {
            findings.append(
                refusal("guest.transient", "\(guest.name) is transient: shut down it is gone, definition and all"))
        }
        if !staysOff {
            findings.append(
                refusal(
                    "guest.restarts",
                    "\(guest.name) does not stay off: its definition has another <on_poweroff> than destroy",
                    fix: ["virsh edit \(guest.name):   <on_poweroff>destroy</on_poweroff>"]))
        }
        return findings
    }

    private func refusal(_ code: String, _ text: String, fix: [String] = []) -> Finding {
        Finding(.refuses(.refused), code, text, fix: fix)
    }

    /// Room for the guest's memory; pages that change while they are copied are written again.
    func memoryFindings(_ method: CutMethod) -> [Finding] {
        guard let file = method.memoryFile, let wanted = memoryBytes else { return [] }
        let folder = OverlayNames.folder(of: file)
        guard let free = freeBytes[folder] else {
            return [refusal("space.unknown", "\(folder) cannot be looked at: is it a folder on this host?")]
        }
        let text = "\(ByteCount(wanted)) or more wanted, \(ByteCount(free)) free in \(folder)"
        return free < wanted
            ? [refusal("space.short", "too little space for the memory: \(text)")]
            : [Finding(.fine, "space.memory", "space for the memory: \(text)")]
    }

    var firmwareFindings: [Finding] {
        guard hasTPM else { return [] }
        return [
            Finding(
                .note, "guest.tpm",
                "\(guest.name) has a TPM, whose state is not part of a snapshot: keys sealed by it are not brought back"
            )
        ]
    }
}
