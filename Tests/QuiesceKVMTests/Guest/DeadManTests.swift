// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import QuiesceKVM

@Suite("The dead-man inside the guest, on a guest without systemd", .timeLimit(.minutes(1)))
struct DeadManTests {
    private let scratch: ScratchFolder
    private let environment: [String: String]

    /// A PATH whose programs write down how they were called; a sleep lasts until the test says that it is over.
    init() throws {
        scratch = try ScratchFolder()
        let folder = try scratch.makeFolder("bin")
        _ = try scratch.makeFolder("kernel")
        try scratch.write("0\n", to: "kernel/rcu_expedited")
        for (name, text) in [
            ("fsfreeze", "[ \"$1\" = --version ] || echo \"$@\" >>'\(scratch("thawed"))'"),
            ("sync", "echo \"$@\" >>'\(scratch("synced"))'"),
            ("renice", "printf '%s\\n' \"$*\" >>'\(scratch("reniced"))'"),
            // Until the test says that it is over, or is gone; by the real one in between. A pause of 1 is another's word.
            (
                "sleep",
                "case $1 in 0) exit ;; 0.05) exec /bin/sleep 0.05 ;; 1) word=again ;; *) word=over ;; esac; echo \"$1\" >>'\(scratch("sleeping"))'; while [ -e \"$0\" ] && [ ! -e '\(scratch.path)'/$word ] && [ ! -e '\(scratch.path)'/over-\"$1\" ]; do /bin/sleep 0.05; done"
            ),
        ] {
            try scratch.program(text, at: "bin/\(name)")
        }
        environment = ["PATH": folder + ":/usr/bin:/bin"]
    }

    /// The script with the kernel's files and /run moved into the scratch folder.
    private func run(_ script: GuestScript, _ words: [String], with programs: [String: String]? = nil) throws
        -> Shell.Result
    {
        let text = script.text.replacing("/sys/kernel/", with: scratch.path + "/kernel/")
            .replacing("/proc/sysrq-trigger", with: scratch("sysrq"))
            .replacing("/run/stillpoint", with: scratch.path + "/run")
            .replacing("/run/systemd", with: scratch.path + "/none")
        return try Shell.run(text, words, environment: programs ?? environment)
    }

    private var expedited: String {
        get throws { try scratch.text(of: "kernel/rcu_expedited").trimmingCharacters(in: .whitespacesAndNewlines) }
    }

    /// All at once, so in no order.
    private var thawed: [Substring] {
        get throws { try scratch.text(of: "thawed").split(separator: "\n").sorted() }
    }

    private func arm(_ mountpoints: String...) throws {
        let armed = try run(.arm, ["abc", "600", "1"] + mountpoints)
        #expect(armed.status == 0 && armed.output == "agentBound\n")
    }

    private func wait(until condition: String) throws { _ = try Shell.run("while ! \(condition); do sleep 0.05; done") }

    private func endSleep() throws { try scratch.write("", to: "over") }

    private func isRunning(_ session: String) throws -> Bool {
        try Shell.run(
            #"for p in /proc/[0-9]*/stat; do s=$(sed 's/.*) //' "$p" 2>/dev/null) || continue; set -- $1 $s; [ "$5" = "$1" ] && [ "$2" != Z ] && exit 0; done; exit 1"#,
            [session]
        ).status == 0
    }

    private var session: String {
        get throws { try scratch.text(of: "run/abc/deadman/pid").trimmingCharacters(in: .whitespacesAndNewlines) }
    }

    @Test("at its deadline it thaws each mount point, with blanks and quotes in it too, and puts RCU back")
    func fires() throws {
        try arm("/", "/mnt/a b", "/mnt/$(reboot)")
        #expect(try scratch.mode("run/abc/deadman") == 0o700)
        #expect(try expedited == "0")
        // In a busy guest it comes before what it wakes up.
        #expect(try scratch.text(of: "reniced") == "-n -10 \(session)\n")
        #expect(try run(.steady, ["abc", "8", "1", "/", "/mnt/a b"]).status == 0)
        #expect(try expedited == "1")
        #expect(try scratch.text(of: "synced") == "-f / /mnt/a b\n")
        #expect(!exists(scratch("thawed")))
        try endSleep()
        try wait(until: "grep -q 0 '\(scratch("kernel/rcu_expedited"))'")
        #expect(try thawed == ["-u /", "-u /mnt/$(reboot)", "-u /mnt/a b"])
        #expect(!exists(scratch("sysrq")))
        #expect(try run(.disarm, ["abc"]).output == "fired\n")
        #expect(!exists(scratch("run/abc/deadman")))
    }

    @Test("a deadline that is set again takes the place of the one before")
    func again() throws {
        try arm("/")
        for deadline in ["8", "9"] { #expect(try run(.steady, ["abc", deadline, "1", "/"]).status == 0) }
        try wait(until: "grep -q 9 '\(scratch("sleeping"))'")
        try scratch.write("", to: "over-8")
        // It has looked at what came before when it waits for this.
        #expect(try run(.steady, ["abc", "77", "1", "/"]).status == 0)
        try wait(until: "grep -q 77 '\(scratch("sleeping"))'")
        #expect(!exists(scratch("thawed")))
        try scratch.write("", to: "over-77")
        try wait(until: "[ -s '\(scratch("run/abc/deadman/fired"))' ]")
        #expect(try run(.disarm, ["abc"]).output == "fired\n")
    }

    @Test("a freeze that begins after its deadline is ended too, until it is called off")
    func firesAgain() throws {
        try arm("/")
        #expect(try run(.steady, ["abc", "8", "0", "/"]).status == 0)
        try endSleep()
        try wait(until: "grep -q / '\(scratch("thawed"))'")
        #expect(try scratch.text(of: "thawed") == "-u /\n")
        let session = try session
        try scratch.write("", to: "again")
        try wait(until: "[ \"$(wc -l <'\(scratch("thawed"))')\" -gt 2 ]")
        #expect(try run(.disarm, ["abc"]).output == "fired\n")
        #expect(try !isRunning(session))
    }

    @Test("a mount point whose thaw hangs does not keep the others")
    func hangs() throws {
        try scratch.program(
            "[ \"$2\" != /hangs ] || exec /bin/sleep 600; [ \"$1\" = --version ] || echo \"$@\" >>'\(scratch("thawed"))'",
            at: "bin/fsfreeze")
        try arm("/hangs", "/", "/hangs", "/srv")
        #expect(try run(.steady, ["abc", "8", "0", "/"]).status == 0)
        try endSleep()
        try wait(until: "[ \"$(grep -c . '\(scratch("thawed"))')\" = 2 ]")
        let session = try session
        _ = try run(.disarm, ["abc"])
        while try isRunning(session) {}
    }

    @Test("a filesystem that its mount point does not thaw leaves the kernel's own way")
    func sysrq() throws {
        try scratch.program(
            "[ \"$1\" = --version ] || { echo 'fsfreeze: cannot open /: Permission denied' >&2; exit 1; }",
            at: "bin/fsfreeze")
        try arm("/")
        #expect(try run(.steady, ["abc", "8", "0", "/"]).status == 0)
        try endSleep()
        try wait(until: "[ -s '\(scratch("sysrq"))' ]")
        #expect(try scratch.text(of: "sysrq") == "j\n")
        #expect(try run(.disarm, ["abc"]).output == "sysrq\n")
    }

    @Test("what is not frozen any more is no reason for that, in whatever language the guest speaks")
    func thawedAlready() throws {
        try scratch.program(
            """
            [ "$1" = --version ] && exit
            [ "${LC_ALL-}" = C ] && why='Invalid argument' || why='Das Argument ist ungültig'
            echo "fsfreeze: /: unfreeze failed: $why" >&2
            exit 1
            """, at: "bin/fsfreeze")
        try arm("/")
        #expect(try run(.steady, ["abc", "8", "1", "/"]).status == 0)
        try endSleep()
        try wait(until: "grep -q 0 '\(scratch("kernel/rcu_expedited"))'")
        #expect(!exists(scratch("sysrq")))
    }

    @Test("called off it thaws nothing, puts RCU back and leaves nothing; twice is no error")
    func calledOff() throws {
        try arm("/")
        #expect(try run(.steady, ["abc", "8", "1", "/"]).status == 0)
        let session = try session
        #expect(try isRunning(session))
        for _ in 0..<2 {
            let result = try run(.disarm, ["abc"])
            #expect(result.status == 0 && result.output.isEmpty)
        }
        while try isRunning(session) {}
        #expect(try expedited == "0")
        #expect(!exists(scratch("run/abc/deadman")) && !exists(scratch("thawed")))
    }

    @Test("called off while it starts, after it was looked for in vain, it is gone too")
    func calledOffAtStart() async throws {
        try scratch.program("until [ -e '\(scratch("go"))' ]; do /bin/sleep 0.02; done", at: "bin/renice")
        let folder = try scratch.makeFolder("slow")
        // What it is to leave behind it removes last.
        try scratch.program(
            """
            : >'\(scratch("go"))'
            until [ -s '\(scratch("run/abc/deadman/pid"))' ]; do /bin/sleep 0.02; done
            cp '\(scratch("run/abc/deadman/pid"))' '\(scratch("was"))'
            exec /bin/rm "$@"
            """, at: "slow/rm")
        let arming = Task.detached { try run(.arm, ["abc", "600", "1", "/"]) }
        try wait(until: "[ -s '\(scratch("run/abc/deadman/script"))' ]")
        #expect(try run(.disarm, ["abc"], with: ["PATH": folder + ":" + (environment["PATH"] ?? "")]).status == 0)
        _ = try await arming.value
        let session = try scratch.text(of: "was").trimmingCharacters(in: .whitespacesAndNewlines)
        while try isRunning(session) {}
        #expect(!exists(scratch("run/abc/deadman")))
    }

    @Test("a dead-man that died takes no deadline, so that nothing is frozen without it")
    func died() throws {
        try arm("/")
        let session = try session
        #expect(kill(-(try #require(pid_t(session))), SIGKILL) == 0)
        while try isRunning(session) {}
        #expect(try run(.steady, ["abc", "8", "1", "/"]).status != 0)
    }

    @Test("called off while it gets its deadline, it takes none, and RCU is as it was")
    func calledOffMeanwhile() throws {
        try arm("/")
        try scratch.program("rm -r '\(scratch("run/abc/deadman"))'", at: "bin/sync")
        #expect(try run(.steady, ["abc", "8", "1", "/"]).status != 0)
        #expect(try expedited == "0")
        #expect(!exists(scratch("run/abc/deadman")))
    }

    @Test("in line with hooks it gets its words in their way, and nothing is written out under their locks")
    func inTurn() throws {
        try arm("/", "/mnt/a b")
        let words = [
            "STILLPOINT_RUN": "abc", "STILLPOINT_PARAM_DEADLINE": "8", "STILLPOINT_PARAM_EXPEDITES": "1",
        ]
        let last = GuestScript(text: GuestScript.steadyInTurn)
        #expect(try run(last, [], with: environment.merging(words) { $1 }).status == 0)
        #expect(try expedited == "1")
        #expect(!exists(scratch("synced")))
        try endSleep()
        try wait(until: "grep -q 0 '\(scratch("kernel/rcu_expedited"))'")
        #expect(try thawed == ["-u /", "-u /mnt/a b"])
    }

    @Test("a guest without fsfreeze gets none")
    func noFsfreeze() throws {
        let empty = try scratch.makeFolder("empty")
        #expect(try run(.arm, ["abc", "600", "1", "/"], with: ["PATH": empty]).status != 0)
        #expect(!exists(scratch("run/abc/deadman/pid")))
    }

    @Test("the value of RCU that it puts back is the one it found", arguments: ["0", "1"])
    func rcu(_ old: String) throws {
        try scratch.write(old + "\n", to: "kernel/rcu_expedited")
        try arm("/")
        #expect(try run(.steady, ["abc", "8", "1", "/"]).status == 0)
        #expect(try expedited == "1")
        #expect(try run(.disarm, ["abc"]).status == 0)
        #expect(try expedited == old)
    }
}
