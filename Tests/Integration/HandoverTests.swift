// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Subprocess
import Testing

extension Lab {
    @Suite("a snapshot is handed over and taken back")
    struct Handover {
        @Test("files: flat, read-only, for the user alone; the snapshot is not merged meanwhile; nothing is left")
        func files() async throws {
            try await HandedOver.withSnapshot { domain in
                let folder = "\(domain.folder)/shown"
                let dry = try await domain.stillpoint("export", domain.name, "--fuse", folder, "--dry-run", "--json")
                #expect(dry.exit == 0 && !FileManager.default.fileExists(atPath: folder), "\(dry)")
                let export = try await domain.stillpoint(
                    "export", domain.name, "s1", "--fuse", folder, "--detach", "--json")
                #expect(export.exit == 0, "\(export)")
                let places = try export.json["disks"]?.array?.compactMap { $0["place"]?.string }
                #expect(places == ["\(folder)/vda.raw", "\(folder)/vdb.raw"])
                #expect(try HandedOver.head(of: "\(folder)/vda.raw") == HandedOver.head)
                let attributes = try FileManager.default.attributesOfItem(atPath: "\(folder)/vda.raw")
                #expect(attributes[.posixPermissions] as? Int == 0o400 && attributes[.size] as? Int == 16 << 20)
                #expect(try FileManager.default.attributesOfItem(atPath: folder)[.posixPermissions] as? Int == 0o700)

                try expectFailure(
                    try await domain.stillpoint("commit", domain.name, "--json"), 20, "exported to \(folder)",
                    isJSON: true)
                // QEMU's own guard, should another state folder not know of it.
                await #expect(throws: Program.Failed.self) {
                    try await Virsh.run("blockcommit", domain.name, "vda", "--active", "--pivot", "--wait")
                }
                _ = try? await Virsh.run("blockjob", domain.name, "vda", "--abort")
                #expect(try await domain.stillpoint("list", domain.name).output.contains("exported to \(folder)"))
                #expect(try await domain.stillpoint("doctor", domain.name).output.contains("export --stop"))

                let again = try await domain.stillpoint("export", domain.name, "--fuse", folder, "--json")
                try expectFailure(again, 20, folder, isJSON: true)
                let stopped = try await domain.stillpoint("export", "--stop", domain.name, "s1", "--json")
                #expect(stopped.exit == 0, "\(stopped)")
                #expect(try stopped.json["stopped"]?.array?.count == 1)
                #expect(!FileManager.default.fileExists(atPath: folder))
                #expect(try await domain.stillpoint("export", "--stop").exit == 0)
            }
        }

        @Test("a socket: read-only, 0600, one export a disk, with the blocks that hold data")
        func socket() async throws {
            try await HandedOver.withSnapshot { domain in
                let folder = "\(domain.folder)/it's a socket"
                let export = try await domain.stillpoint("export", domain.name, "--nbd", folder, "--detach", "--json")
                #expect(export.exit == 0, "\(export)")
                let socket = "\(folder)/nbd.sock"
                #expect(try FileManager.default.attributesOfItem(atPath: socket)[.posixPermissions] as? Int == 0o600)
                let place = try #require(try export.json["disks"]?.array?.first?["place"]?.string)
                let map = try await Program.succeed("nbdinfo", "--map", place)
                #expect(
                    map.split(separator: "\n").first?.split(separator: " ").prefix(4) == ["0", "65536", "0", "data"])
                #expect(try await Program.succeed("nbdinfo", place).contains("is_read_only: true"))
                let copy = "\(domain.folder)/copy"
                try await Program.succeed("nbdcopy", place, copy)
                #expect(try HandedOver.head(of: copy) == HandedOver.head)
                #expect(try await domain.stillpoint("export", "--stop").exit == 0)
                #expect(!FileManager.default.fileExists(atPath: folder))
            }
        }

        @Test("in the foreground it ends with Ctrl-C, and with kill -9; the next call clears what that left")
        func foreground() async throws {
            try await HandedOver.withSnapshot { domain in
                let folder = "\(domain.folder)/shown"
                let script = """
                    "$1" --state-dir "$2" export "$3" --fuse "$4" >/dev/null & pid=$!
                    for _ in {1..100}; do [[ -s $4/vda.raw ]] && break; sleep 0.1; done
                    [[ -s $4/vda.raw ]] || exit 90
                    kill "-$5" $pid; wait $pid; status=$?
                    # What serves the files ends by itself, a moment after they are gone.
                    for _ in {1..100}; do pgrep -f -- "$4/vda.raw" >/dev/null || mountpoint -q "$4/vda.raw" || break; sleep 0.1; done
                    exit $status
                    """
                func end(by signal: String) async throws -> Program.Ended {
                    try await Program.run(
                        "bash",
                        [
                            "-c", script, "bash", domain.stillpoint.binary, domain.stillpoint.state, domain.name,
                            folder, signal,
                        ])
                }
                #expect(try await end(by: "INT").exit == 0)
                #expect(!FileManager.default.fileExists(atPath: folder))
                #expect(try await end(by: "KILL").exit == 137)
                #expect(Processes.naming(folder).isEmpty)
                #expect(try await domain.stillpoint("list", domain.name).output.contains("a process that is gone"))
                let again = try await domain.stillpoint("export", domain.name, "--fuse", folder, "--detach")
                #expect(again.exit == 0, "\(again)")
                #expect(try HandedOver.head(of: "\(folder)/vda.raw") == HandedOver.head)
                // Even a daemon that was killed leaves no mount that harms.
                for process in Processes.naming(folder) {
                    kill(try #require(pid_t(process.prefix { $0 != " " })), SIGKILL)
                }
                let third = try await domain.stillpoint("export", domain.name, "--fuse", folder, "--detach")
                #expect(third.exit == 0, "\(third)")
                #expect(try HandedOver.head(of: "\(folder)/vda.raw") == HandedOver.head)
                #expect(try await domain.stillpoint("export", "--stop").exit == 0)
                #expect(!FileManager.default.fileExists(atPath: folder))
            }
        }

        @Test("one that breaks off says so on stderr: stdout has had its one object")
        func broken() async throws {
            try await HandedOver.withSnapshot { domain in
                let folder = "\(domain.folder)/shown"
                let script = """
                    "$1" --state-dir "$2" export "$3" --fuse "$4" --json & pid=$!
                    for _ in {1..100}; do [[ -s $4/vda.raw ]] && break; sleep 0.1; done
                    pkill -KILL -f -- "$4/vda.raw"
                    wait $pid
                    """
                let words = [domain.stillpoint.binary, domain.stillpoint.state, domain.name, folder]
                let ended = try await Program.run("bash", ["-c", script, "bash"] + words)
                #expect(ended.exit == 70, "\(ended)")
                #expect(try ended.json["schema"]?.string == "stillpoint.export/v1", "\(ended)")
                #expect(ended.lastLine.contains("qemu-storage-daemon has ended"), "\(ended)")
                #expect(try await domain.stillpoint("export", "--stop").exit == 0)
                #expect(!FileManager.default.fileExists(atPath: folder))
            }
        }

        @Test("a folder that cannot be used is refused, and what is in it stays")
        func badFolder() async throws {
            try await HandedOver.withSnapshot { domain in
                let taken = "\(domain.folder)/taken"
                try FileManager.default.createDirectory(atPath: taken, withIntermediateDirectories: true)
                try Data("mine".utf8).write(to: URL(filePath: "\(taken)/vdb.raw"))
                for (folder, status, words) in [
                    (taken, Int32(20), "vdb.raw is there already"), ("/etc/passwd", 20, "/etc/passwd"),
                    ("/nonexistent/a/b", 20, "No such file"), ("/proc/x", 20, "/proc/x"), ("/tmp", 20, "another user"),
                ] {
                    let ended = try await domain.stillpoint("export", domain.name, "--fuse", folder, "--json")
                    try expectFailure(ended, status, words, isJSON: true)
                }
                #expect(try String(contentsOfFile: "\(taken)/vdb.raw", encoding: .utf8) == "mine")
                #expect(try FileManager.default.contentsOfDirectory(atPath: taken) == ["vdb.raw"])
                let long = domain.folder + "/" + String(repeating: "x", count: 100)
                try expectFailure(
                    try await domain.stillpoint("export", domain.name, "--nbd", long, "--json"), 20, "107 bytes",
                    isJSON: true)
                #expect(!FileManager.default.fileExists(atPath: long))
                try expectFailure(
                    try await domain.stillpoint("export", domain.name, "nosuch", "--nbd", "/x", "--json"), 66, "nosuch",
                    isJSON: true)
            }
        }
    }
}
