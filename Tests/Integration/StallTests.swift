// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

extension Lab.Plain {
    @Test(
        "who reads the progress stops reading, or goes: the run ends as ever, frozen no longer",
        arguments: ["stalled", "gone"])
    func deaf(_ reader: String) async throws {
        let guest = try LabGuest.current
        try await Place.withFolder { folder in
            // A pipe is full at 64 KiB. Nobody else has the one for the reader that is gone.
            let script = """
                mkfifo "$1/pipe"
                exec 3<>"$1/pipe"
                shift
                if [[ $0 == stalled ]]; then
                    timeout 1 dd if=/dev/zero bs=4096 >&3 2>/dev/null || :
                    exec "$@" 2>&3
                fi
                { "$@" 2>&4; echo $? >&5; } 4> >(exec true) 5>&1 | tee /dev/fd/3 >/dev/null
                IFS= read -r -u 3 first; [[ $first == '{' ]]
                """
            let words = [
                guest.stillpoint.binary, "--state-dir", guest.stillpoint.state, "snapshot", guest.name, "--no-hooks",
                "--json",
            ]
            let stalled = try await Program.run(
                "bash", ["-c", script, reader, folder] + words, within: .seconds(60))
            #expect(stalled.exit == 0, "\(stalled)")
            let listed = try await guest.stillpoint("list", guest.name, "--json").json["snapshots"]?.array ?? []
            #expect(listed.count == 1 && listed.first?["consistency"] == "filesystem", "\(listed)")
            #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
        }
    }

    @Test("an overlay whose filesystem is full pauses the guest; doctor says so, commit makes room, and it goes on")
    func full() async throws {
        let guest = try LabGuest.current
        try await Place.withFolder { folder in
            // No filesystem in memory: QEMU's O_DIRECT does not like them.
            let disk = "\(folder).disk"
            defer { unlink(disk) }
            try await Program.succeed("truncate", "-s", "320M", disk)
            try await Program.succeed("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", disk)
            try await Program.succeed("mount", "-o", "loop", disk, folder)
            chmod(folder, 0o755)
            let result: Result<Void, any Error>
            do {
                // QEMU has its own view of the host's mounts, from its start on.
                try await Virsh.run("destroy", guest.name)
                try await Virsh.run("start", guest.name)
                try await guest.awaitAgent()
                let taken = try await guest.stillpoint(
                    "snapshot", guest.name, "--no-hooks", "--diskspec", "vda,file=\(folder)/small.qcow2")
                #expect(taken.exit == 0, "\(taken)")
                // A snapshot wants some room for its overlays; somebody else takes it afterwards.
                try await Program.succeed("fallocate", "-l", "280M", "\(folder)/other")
                try await guest.background("fill", "dd if=/dev/urandom of=/var/fill bs=1M count=40 oflag=direct; sync")
                try await Program.succeed(
                    "bash", "-c",
                    "for _ in {1..300}; do [[ $(virsh domstate \"$1\") == paused ]] && exit; sleep 0.1; done; exit 1",
                    "bash", guest.name)
                let doctor = try await guest.stillpoint("doctor", guest.name)
                #expect(doctor.exit == 20 && doctor.output.contains("I/O error"), "\(doctor)")
                try expectFailure(
                    try await guest.stillpoint("snapshot", guest.name, "--json"), 20, "paused", isJSON: true)
                let commit = try await guest.stillpoint("commit", guest.name)
                #expect(commit.exit == 0, "\(commit)")
                try await Virsh.run("resume", guest.name)
                try await guest.awaitAgent()
                try await guest.sh("while systemctl is-active --quiet fill; do sleep 0.2; done; rm /var/fill")
                try await guest.probe()
                result = .success(())
            } catch {
                result = .failure(error)
            }
            try await Program.succeed("umount", "-l", folder)
            try result.get()
        }
    }
}
