// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Quiesce
import Testing

@testable import QuiesceKVM

@Suite("Hooks as drop-ins of the agent's own freeze", .serialized, .timeLimit(.minutes(1)))
struct DropInTests {
    private let scratch: ScratchFolder
    private static let hasShellcheck = FileManager.default.fileExists(atPath: "/usr/bin/shellcheck")

    init() throws {
        scratch = try ScratchFolder()
        _ = try scratch.makeFolder("qemu")
    }

    /// A hook that says what it was called for, and fails where a file of that name is.
    private static let sample = """
        # common
        if [ -e "$STILLPOINT_PARAM_PLACE/probe-fails" ]; then exit 1; fi
        case $1 in
            probe) cat "$STILLPOINT_PARAM_PLACE/state" ;;
            *)
                echo "$STILLPOINT_PARAM_INSTANCE $1" >>"$STILLPOINT_PARAM_PLACE/calls"
                echo '{"held":true}'
                echo "cannot $1" >&2
                [ ! -e "$STILLPOINT_PARAM_PLACE/$STILLPOINT_PARAM_INSTANCE.$1.fails" ]
                ;;
        esac
        """

    private func dropIns(_ instances: [String] = ["a", "b", "c"]) -> DropIns {
        let hook = Hook(name: "sample", origin: "test", sha256: "0123", text: Self.sample)
        return DropIns(
            instances.map { HookChoice(hook, parameters: ["instance": $0, "place": scratch.path]) }, for: "db'01")
    }

    private func moved(_ text: String) -> String {
        text.replacing("/run/stillpoint", with: scratch("run")).replacing("/etc/qemu-ga", with: scratch("none"))
            .replacing("/etc/qemu", with: scratch("qemu"))
    }

    private func install(_ dropIns: DropIns) throws {
        try scratch.write("{\"state\":\"running\"}", to: "state")
        let result = try Shell.run(moved(dropIns.installer))
        #expect(result.status == 0, "\(result.output)")
    }

    private func calls() throws -> [String] {
        defer { unlink(scratch("calls")) }
        guard exists(scratch("calls")) else { return [] }
        return try scratch.text(of: "calls").split(separator: "\n").map(String.init)
    }

    private func agent(_ verb: String) throws -> Shell.Result {
        try Shell.run("\"$0.hook\" \(verb) 2>&1".replacing("$0.hook", with: scratch("qemu/fsfreeze-hook")))
    }

    @Test("shellcheck finds nothing in the dispatcher, the installer and a drop-in", .enabled(if: hasShellcheck))
    func clean() throws {
        let dropIns = dropIns(["it's; $(reboot)"])
        for text in [DropIns.dispatcher, dropIns.installer, try #require(dropIns.scripts.first).text] {
            try scratch.write(text, to: "script")
            // SC2016: a value in single quotes is to stay as it is.
            let result = try Shell.run("shellcheck --severity=style --exclude=SC2016 \(scratch("script"))")
            #expect(result.status == 0, "\(result.output)")
        }
    }

    @Test("frozen in order, thawed in reverse, what they said kept apart")
    func order() throws {
        try install(dropIns())
        #expect(try agent("freeze").status == 0)
        #expect(try calls() == ["a freeze", "b freeze", "c freeze"])
        #expect(try agent("thaw").status == 0)
        #expect(try calls() == ["c thaw", "b thaw", "a thaw"])
        #expect(try scratch.text(of: "run/drop-in/stillpoint-10-sample-a.freeze.json") == "{\"held\":true}\n")
        #expect(try scratch.text(of: "run/drop-in/stillpoint-10-sample-a.thaw.log") == "cannot thaw\n")
        #expect(try scratch.mode("run/drop-in") == 0o700)
    }

    @Test("a failure undoes what was begun, itself too, the last first, and the agent is told")
    func failure() throws {
        try install(dropIns())
        try scratch.write("", to: "b.freeze.fails")
        let result = try agent("freeze")
        #expect(result.status == 1)
        #expect(result.output.contains("stillpoint-11-sample-b freeze ended with 1: cannot freeze"), "\(result.output)")
        #expect(try calls() == ["a freeze", "b freeze", "b thaw", "a thaw"])
    }

    @Test("a release that fails does not keep the others from theirs, and is told")
    func failedThaw() throws {
        try install(dropIns())
        try scratch.write("", to: "b.thaw.fails")
        #expect(try agent("thaw").status == 1)
        #expect(try calls() == ["c thaw", "b thaw", "a thaw"])
    }

    @Test("a run that comes through guest-exec goes first; a mark that was forgotten counts for nothing")
    func active() throws {
        try install(dropIns(["a"]))
        _ = try scratch.makeFolder("run")
        let uptime = try #require(
            Int(try String(contentsOfFile: "/proc/uptime", encoding: .utf8).prefix { $0 != "." }))
        try scratch.write("\(uptime)\n", to: "run/active-0123")
        for verb in ["freeze", "thaw"] { #expect(try agent(verb).status == 0) }
        // The same without our dispatcher.
        #expect(try Shell.run("'\(scratch("qemu/fsfreeze-hook.d/stillpoint-10-sample-a"))' freeze").status == 0)
        #expect(try calls().isEmpty)
        for stale in ["\(uptime - 600)", "\(uptime + 9)", ""] {
            try scratch.write(stale + "\n", to: "run/active-0123")
            #expect(try agent("freeze").status == 0)
            #expect(try calls() == ["a freeze"])
            #expect(!exists(scratch("run/active-0123")))
        }
    }

    @Test("what does not run needs no lock, and a probe that fails is a failure")
    func stopped() throws {
        try install(dropIns(["a"]))
        for state in ["{\"state\":\"absent\"}", "{\"state\":\"stopped\"}", "{\"instances\":[]}", ""] {
            try scratch.write(state, to: "state")
            #expect(try agent("freeze").status == 0)
            #expect(try calls().isEmpty)
        }
        try scratch.write("{\"instances\":[{\"state\": \"running\"}]}", to: "state")
        #expect(try agent("freeze").status == 0)
        #expect(try calls() == ["a freeze"])
        try scratch.write("", to: "probe-fails")
        #expect(try agent("freeze").status == 1)
        #expect(try calls().isEmpty)
    }

    @Test(
        "a value of the configuration reaches the hook as it is, and starts nothing", arguments: OddText.all)
    func quoting(name: String) throws {
        let hook = Hook(
            name: "sample", origin: "test", sha256: "",
            text: "printf '%s|%s' \"$STILLPOINT_PARAM_MODE\" \"$STILLPOINT_DOMAIN\"")
        let dropIns = DropIns([HookChoice(hook, parameters: ["mode": name])], for: name)
        let script = try #require(dropIns.scripts.first)
        let result = try Shell.run(moved(script.text), ["verify"])
        #expect(result.output == "\(name)|\(name)")
        #expect(script.name == "fsfreeze-hook.d/stillpoint-10-sample")
    }

    @Test("an instance's name in a file's name is harmless", arguments: OddText.all)
    func names(name: String) throws {
        let script = try #require(dropIns([name]).scripts.first)
        let stem = script.name.dropFirst("fsfreeze-hook.d/stillpoint-10-sample-".count)
        #expect(stem.utf8.count <= 64 && stem.utf8.allSatisfy { $0.isLetterOrDigit || $0 == UInt8(ascii: "_") })
    }

    @Test("installing again replaces what was ours, keeps what was not, and says what is still to do")
    func again() throws {
        try scratch.write("#!/bin/sh\nexit 0\n", to: "qemu/fsfreeze-hook")
        _ = try scratch.makeFolder("qemu/fsfreeze-hook.d")
        try scratch.write("#!/bin/sh\n", to: "qemu/fsfreeze-hook.d/theirs")
        try install(dropIns(["a", "b"]))
        try install(dropIns(["z"]))
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: scratch("qemu/fsfreeze-hook.d")).sorted()
                == ["stillpoint-10-sample-z", "theirs"])
        #expect(try scratch.text(of: "qemu/fsfreeze-hook.orig") == "#!/bin/sh\nexit 0\n")
        #expect(try scratch.mode("qemu/fsfreeze-hook") == 0o755)
        let said = try Shell.run(moved(dropIns(["z"]).installer)).output
        #expect(said.contains("wrote \(scratch("qemu/fsfreeze-hook"))\n"))
        #expect(said.contains("note     fsfreeze-hook=\(scratch("qemu/fsfreeze-hook"))\n"))
        #expect(!said.contains("is kept as"))
    }

    @Test("scripts of others run too, and those that packages leave behind do not")
    func others() throws {
        try install(dropIns(["a"]))
        for name in ["05-theirs", "99-theirs.bak", "99-theirs.dpkg-old", "99-plain"] {
            try scratch.write(
                "#!/bin/sh\necho \"\(name) $1\" >>'\(scratch("calls"))'\n", to: "qemu/fsfreeze-hook.d/\(name)")
            if name != "99-plain" { chmod(scratch("qemu/fsfreeze-hook.d/\(name)"), 0o755) }
        }
        #expect(try agent("freeze").status == 0 && agent("thaw").status == 0)
        #expect(try calls() == ["05-theirs freeze", "a freeze", "a thaw", "05-theirs thaw"])
        for verb in ["", "status", "freeze-list"] { #expect(try agent(verb).status == 0) }
        #expect(try calls().isEmpty)
    }
}
