// SPDX-License-Identifier: Apache-2.0

import Foundation
import GuestAgent
import Quiesce
import Synchronization
import Testing

@testable import QuiesceKVM

@Suite("The scripts that run in the guest", .timeLimit(.minutes(1)))
struct GuestScriptTests {
    static let scripts: [(name: String, script: GuestScript)] = [
        ("survey", .survey), ("sync", .sync), ("arm", .arm), ("steady", .steady), ("disarm", .disarm),
    ]
    private static let hasShellcheck = FileManager.default.fileExists(atPath: "/usr/bin/shellcheck")

    @Test("shellcheck finds nothing in them as POSIX sh", .enabled(if: hasShellcheck), arguments: scripts)
    func clean(_ script: (name: String, script: GuestScript)) throws {
        let scratch = try ScratchFolder()
        try scratch.write(script.script.text + "\n", to: "script")
        // SC2016: what stands in single quotes is for the shell started there.
        let result = try Shell.run("shellcheck --shell=sh --severity=style --exclude=SC2016 \(scratch("script"))")
        #expect(result.status == 0, "\(result.output)")
    }

    @Test("they hold nothing that an agent's argument could not carry, and fit into one call", arguments: scripts)
    func small(_ script: (name: String, script: GuestScript)) {
        #expect(script.script.text.utf8.count < 64 << 10)
        #expect(!script.script.text.contains("\0") && script.script.text.allSatisfy(\.isASCII))
    }

    @Test("sync reaches each mount point, and one that is gone is no error")
    func sync() throws {
        let scratch = try ScratchFolder()
        let folder = try scratch.makeFolder("bin")
        try scratch.program(
            "[ \"$1\" = -f ] || exit 1\nshift\nprintf '%s\\n' \"$@\" >>'\(scratch("synced"))'\nexit 1", at: "bin/sync")
        for count in [1, 3, 4, 5, 8, 17] {
            try? FileManager.default.removeItem(atPath: scratch("synced"))
            let mountpoints = (1...count).map { "/mnt/a \($0)" }
            let result = try Shell.run(
                GuestScript.sync.text, mountpoints, environment: ["PATH": folder + ":/bin"])
            #expect(result.status == 0)
            let lines = try scratch.text(of: "synced").split(separator: "\n").map(String.init)
            #expect(lines.sorted() == mountpoints.sorted())
        }
    }

    @Test("the survey tells a guest without systemd, sysfs files or LVM as whole as any")
    func barrenSurvey() throws {
        let scratch = try ScratchFolder()
        let script = GuestScript.survey.text.replacing("/sys/", with: scratch.path + "/sys/")
            .replacing("/run/systemd", with: scratch.path + "/run")
        let result = try Shell.run(script, environment: ["PATH": scratch.path])
        #expect(result.status == 0)
        #expect(result.output.hasSuffix("end\n"))
        #expect(!result.output.contains("systemd") && !result.output.contains("disk"))
    }

    @Test("the survey finds partitions, device mapper, serials and read-only mounts with blanks")
    func survey() throws {
        let scratch = try ScratchFolder()
        try scratch.write(
            "22 1 0:21 / / rw,relatime - ext4 /dev/vda1 rw\n23 1 7:0 / /mnt/a\\040b ro,nosuid - squashfs /dev/loop0 ro\n",
            to: "mountinfo")
        let made = try Shell.run(
            """
            cd "$1" && mkdir -p run/systemd/system sys/kernel sys/devices/system/cpu sys/class/block bin &&
            d=sys/devices/pci0000:00/0000:00:05.0/virtio3/block && mkdir -p $d/vdb/device $d/vdb/vdb1 &&
            printf 'my disk' >$d/vdb/serial && echo 1 >$d/vdb/vdb1/partition &&
            v=sys/devices/virtual/block/dm-0 && mkdir -p $v/slaves $v/dm && echo LVM-abc >$v/dm/uuid &&
            ln -s ../../../../pci0000:00/0000:00:05.0/virtio3/block/vdb/vdb1 $v/slaves/vdb1 &&
            ln -s ../../../$d/vdb sys/class/block/vdb && ln -s ../../../$d/vdb/vdb1 sys/class/block/vdb1 &&
            ln -s ../../../$v sys/class/block/dm-0 && echo 1 >sys/kernel/rcu_normal && echo 2-3 >sys/devices/system/cpu/isolated &&
            printf '#!/bin/sh\\necho " /dev/vdb1 a-b vg data"\\n' >bin/pvs && chmod +x bin/pvs
            """, [scratch.path])
        #expect(made.status == 0)
        let script = GuestScript.survey.text.replacing("/sys/", with: scratch.path + "/sys/")
            .replacing("/run/systemd", with: scratch.path + "/run/systemd")
            .replacing("/proc/self/mountinfo", with: scratch("mountinfo"))
        let result = try Shell.run(script, environment: ["PATH": scratch("bin") + ":/usr/bin:/bin"])
        let lines = result.output.split(separator: "\n").map(String.init)
        let path = scratch.path + "/sys/devices/pci0000:00/0000:00:05.0/virtio3/block/vdb"
        #expect(lines.first == "systemd" && lines.last == "end")
        for line in [
            "rcu_normal 1", "isolated 2-3", "disk vdb \(path) my disk", "part vdb1 vdb", "slave dm-0 vdb1",
            "lvm dm-0 LVM-abc", #"ro /mnt/a\040b"#,
        ] {
            #expect(lines.contains(line), "\(line) in \(lines)")
        }
    }

    /// An agent that plays `replies`, and keeps what it was asked.
    private final class Played: AgentChannel {
        let asked = Mutex<[String]>([])
        private let replies: Mutex<[String]>
        init(_ replies: [String]) { self.replies = Mutex(replies) }

        func exchange(_ request: String, timeout: Duration) async throws(AgentError) -> String {
            asked.withLock { $0.append(request) }
            return replies.withLock { $0.count > 1 ? $0.removeFirst() : $0.first ?? "" }
        }
    }

    @Test("a script travels as input, its arguments as arguments, and its output comes back")
    func run() async throws {
        let played = Played([
            #"{"return":{"pid":7}}"#, #"{"return":{"exited":true,"exitcode":0,"out-data":"b2sK"}}"#,
        ])
        let text = try await GuestScript.sync.run(
            ["/mnt/$(reboot)"], on: GuestAgent(channel: played), within: .seconds(5))
        #expect(text == "ok\n")
        let request = try #require(played.asked.withLock { $0.first })
        #expect(request.contains(#""/mnt/$(reboot)""#) || request.contains(#""\/mnt\/$(reboot)""#))
        #expect(
            request.contains(Data(GuestScript.sync.text.utf8).base64EncodedString()) || request.contains("input-data"))
    }

    @Test("a script that fails is a refusal, with the last line it complained with")
    func failing() async throws {
        let complaint = Data("first\nno such file \u{1B}[31m\n".utf8).base64EncodedString()
        let played = Played([
            #"{"return":{"pid":7}}"#, #"{"return":{"exited":true,"exitcode":1,"err-data":"\#(complaint)"}}"#,
        ])
        await #expect(throws: GuestFailure.self) {
            do throws(GuestFailure) {
                _ = try await GuestScript.sync.run(on: GuestAgent(channel: played), within: .seconds(5))
            } catch {
                #expect(error.kind == .refused)
                #expect(error.cause.contains(#"no such file \u{1B}[31m"#) && !error.cause.contains("first"))
                throw error
            }
        }
    }
}
