// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Quiesce

/// What the survey script wrote. The guest's word: anything odd is left out, never trusted to be in range.
struct SurveyReply {
    private(set) var survey = GuestSurvey()
    private(set) var readOnlyMounts: Set<String> = []
    /// Of the words that were asked for, those that are there.
    private(set) var present: Set<String> = []

    /// nil when the answer is not whole.
    init?(_ text: String, _ disks: DiskMap) {
        let lines = text.split(separator: "\n", maxSplits: 4096).map {
            $0.split(separator: " ", omittingEmptySubsequences: true).map(String.init)
        }
        guard lines.last == ["end"] else { return nil }
        var targets: [String: DiskTarget] = [:]
        var below: [String: Set<String>] = [:]
        var groups: [String: (name: String?, devices: Set<String>)] = [:]
        var zfs: Set<String> = []
        var rcuNormal = false
        var isolated = ""
        survey.hasSystemd = false
        for words in lines {
            switch (words.first, words.count) {
            case ("systemd", 1): survey.hasSystemd = true
            case ("rcu_normal", 2): rcuNormal = words[1] != "0"
            case ("isolated", 2): isolated = words[1]
            case ("disk", 3...):
                // A serial may hold blanks.
                targets[words[1]] = disks.target(
                    sysfs: words[2], serial: words.dropFirst(3).joined(separator: " "))
            case ("part", 3), ("slave", 3): below[words[1], default: []].insert(words[2])
            case ("lvm", 3): groups[Self.group(ofVolume: words[2]), default: (nil, [])].devices.insert(words[1])
            case ("pv", 4):
                let group = words[2].replacing("-", with: "")
                groups[group, default: (nil, [])].name = words[3]
                groups[group]?.devices.insert(words[1])
            case ("has", 2): present.insert(words[1])
            case ("ro", 2): readOnlyMounts.insert(Self.unescaped(words[1]))
            case ("other", 3):
                let place = Self.unescaped(words[2])
                survey.otherMounts.append(
                    .init(mountpoint: place, shownAs: place.printable(limit: 256), type: words[1].printable(limit: 32)))
            case ("zfs", 2): zfs.insert(words[1])
            default: break
            }
        }
        survey.volumeGroups = groups.sorted { $0.key < $1.key }.map { id, group in
            let found = group.devices.reduce(into: Set<DiskTarget>()) {
                $0.formUnion(Self.disks(under: $1, below, targets))
            }
            return .init(name: (group.name ?? id).printable(limit: 128), targets: found)
        }.filter { !$0.targets.isEmpty }
        for device in zfs { survey.zfsDisks.formUnion(Self.disks(under: device, below, targets)) }
        if rcuNormal {
            survey.expediteObstacle = "rcu_normal is set in the guest"
        } else if !isolated.isEmpty {
            survey.expediteObstacle = "the guest has isolated CPUs (\(isolated.printable(limit: 64)))"
        }
    }

    /// `LVM-` and then 32 characters of the group's and 32 of the volume's UUID, without dashes.
    private static func group(ofVolume uuid: String) -> String { String(uuid.dropFirst(4).prefix(32)) }

    private static func disks(
        under device: String, _ below: [String: Set<String>], _ targets: [String: DiskTarget]
    ) -> Set<DiskTarget> {
        var found: Set<DiskTarget> = []
        var seen: Set<String> = []
        var open = [device]
        while let next = open.popLast() {
            guard seen.insert(next).inserted else { continue }
            if let target = targets[next] { found.insert(target) }
            open += below[next] ?? []
        }
        return found
    }

    /// The kernel writes space, tab, newline and backslash of a mount point as `\040` and so on.
    private static func unescaped(_ text: String) -> String {
        text.replacing(#"\040"#, with: " ").replacing(#"\011"#, with: "\t").replacing(#"\012"#, with: "\n")
            .replacing(#"\134"#, with: "\\")
    }
}
