// SPDX-License-Identifier: Apache-2.0

import Testing

@Suite("A wrong command line", .timeLimit(.minutes(2)))
struct UsageTests {
    static let wrong: [[String]] = [
        ["frobnicate"], ["list", "--bogus"], ["snapshot"], ["disks", "db01", "too", "many"], ["show"],
        ["snapshot", "db01", "--domain", "db02"], ["snapshot", "db01", "--disk", "../vda"],
        ["snapshot", "db01", "--max-freeze", "31s"], ["snapshot", "db01", "--max-freeze", "1s"],
        ["snapshot", "db01", "--max-freeze", "5"], ["snapshot", "db01", "--max-freeze", "-5s"],
        ["snapshot", "db01", "--require", "none"], ["snapshot", "db01", "--require", "best"],
        ["snapshot", "db01", "--no-freeze", "--require", "filesystem"],
        ["snapshot", "db01", "--disk", "vda", "--exclude", "vdb"],
        ["snapshot", "db01", "--disk", "vda", "--diskspec", "vdb"],
        ["snapshot", "db01", "--diskspec", "vda,foo=1"], ["snapshot", "db01", "--diskspec", "/dev/vda"],
        ["snapshot", "db01", "--diskspec", "vda,snapshot=maybe"],
        ["snapshot", "db01", "--diskspec", "vda,file=relative"],
        ["snapshot", "db01", "--diskspec", "vda,snapshot=no,file=/x"], ["snapshot", "db01", "--name", "../up"],
        ["snapshot", "db01", "--name", ""], ["snapshot", "db01", "--output", "yaml"],
        ["snapshot", "db01", "--description", "colour \u{1B}[31m"], ["plan", "db01", "--max-freeze", "31s"],
        ["doctor", "db01", "--require", "none"], ["commit", "db01", "nightly", "--all"],
        ["revert", "db01"], ["revert", "db01", "s", "--running", "--paused"], ["revert"],
        ["revert", "db01", "s", "--shutdown", "--destroy"], ["revert", "db01", "s", "--shutdown=soon"],
        ["delete", "db01"], ["delete"], ["prune"], ["prune", "db01", "--keep", "-1"], ["prune", "db01", "--keep", "x"],
        ["prune", "db01", "--keep", "1", "--older-than", "7d"], ["prune", "db01", "--older-than", "7"],
        ["list", "db01", "--names", "--tree"],
        ["commit", "db01", "--bandwidth", "50X"], ["commit", "db01", "--bandwidth", "99999999999999999999G"],
        ["freeze", "db01", "--lease", "11m"], ["verify", "db01", "--level", "hope"], ["verify"],
        ["verify", "db01", "--all"], ["verify", "db01", "--every", "7d"],
        ["verify", "--all", "--level", "application", "--keep"], ["verify", "db01", "--keep"],
        ["verify", "db01", "--level", "filesystem", "--half-memory"],
        ["verify", "db01", "--level", "application", "--scratch", "relative"],
        ["verify", "db01", "--level", "application", "--timeout", "soon"],
        ["-c", "qemu+tcp://host/system", "list", "db01"], ["-c", "xen:///", "list", "db01"],
        ["-c", "localhost", "list", "db01"],
        ["snapshot", "db01", "--shutdown=2h"], ["snapshot", "db01", "--shutdown", "--hook", "mysql"],
        ["drill", "db01", "--shutdown"], ["drill", "db01", "--internal"], ["drill", "db01", "--memory", "/x"],
        ["snapshot", "db01", "--memory", "x"], ["snapshot", "db01", "--memory", "/x", "--internal"],
        ["snapshot", "db01", "--memory", "/x", "--shutdown"], ["snapshot", "db01", "--memory", "/x", "--quiesce"],
        ["snapshot", "db01", "--memory", "/x", "--require", "filesystem"],
        ["snapshot", "db01", "--memory", "/x", "--memspec", "/y"],
        ["snapshot", "db01", "--memspec", "/x,snapshot=internal"],
        ["snapshot", "db01", "--memory", "/x", "--disk-only"], ["snapshot", "db01", "--internal", "--no-metadata"],
        ["snapshot", "db01", "--internal", "--diskspec", "vda,file=/x"],
        ["snapshot", "db01", "--max-hold", "1s"], ["snapshot", "db01", "--max-hold", "11m"],
        ["snapshot", "db01", "--hook", "mysql", "--no-hooks"], ["snapshot", "db01", "--hook", "mysql", "--no-freeze"],
        ["plan", "db01", "--hook"], ["hooks", "frobnicate"], ["hooks", "list", "db01"], ["hooks", "probe"],
        ["hooks", "install"], ["hooks", "probe", "db01", "db02"], ["config", "frobnicate"], ["config", "schema", "x"],
        ["config", "check", "a", "b"], ["recover", "db01", "db02"], ["recover", "--bogus"],
        ["run", "db01"], ["run", "db01", "true"], ["begin", "db01", "--ttl", "0s"],
        ["begin", "db01", "--ttl", "12"], ["begin", "db01", "--label", ""], ["begin", "db01", "--output", "yaml"],
        ["begin", "db01", "--label", "a\u{1B}b"], ["end"], ["end", "db01", "nightly"],
        ["end", "db01", "0123456789abcdef0123456789abcdef", "--label", "x"], ["export", "db01"], ["export"],
        ["export", "db01", "--fuse", "/x", "--nbd", "/y"], ["export", "--stop", "--fuse", "/x"],
        ["export", "--stop", "--detach"], ["export", "db01", "--fuse", ""],
        ["copy"], ["copy", "db01"], ["copy", "db01", ""], ["copy", "db01", "s", "/x", "/y"],
        ["copy", "db01", "/x", "--format", "vmdk"], ["copy", "db01", "/x", "--format", "raw", "--compress"],
        ["copy", "db01", "/x", "--bandwidth", "0"], ["restore"], ["restore", "/x/manifest.json", "--as", "../up"],
        ["restore", "/x/manifest.json", "--as", "a b"], ["restore", "/x/manifest.json", "--to", ""],
        ["restore", "/x/manifest.json", "/y"], ["snapshot", "db01", "--description", "a\u{FFFE}"],
        ["snapshot", "db01", "--description", "\u{FFFF}"], ["snapshot", "db01", "--shutdown=0s"],
        ["snapshot", "db01", "--shutdown=soon"], ["revert", "db01", "s", "--shutdown=0s"],
        ["revert", "db01", "s", "--shutdown=61m"], ["list", "db01", "--domain", "db02"],
        ["prune", "db01", "--domain", "db02", "--abandoned"], ["recover", "db01", "--domain", "db02"],
        ["show", "--domain", "db01", "s", "t"], ["show", "db01", "s", "--snapshotname", "t"],
        ["verify", "--domain", "db01", "s", "--snapshotname", "t"], ["verify", "--all", "--snapshotname", "t"],
        ["commit", "--domain", "db01", "s", "--all"], ["commit", "db01", "--snapshotname", "s", "--all"],
        ["delete", "--domain", "db01"], ["revert", "--domain", "db01"], ["delete", "--snapshotname", "s"],
        ["end", "--domain", "db01", "nightly"], ["end", "db01", "--snapshotname", "s", "--label", "x"],
        ["export", "--domain", "db01"], ["copy", "--domain", "db01"],
        ["copy", "--domain", "db01", "s", "--snapshotname", "t", "/x"],
    ]

    @Test("ends with 64 and one line of cause last on stderr, nothing on stdout", arguments: wrong)
    func text(_ arguments: [String]) throws {
        let result = try Command().run(arguments)
        #expect(result.status == 64, "\(result.errors)")
        #expect(result.output.isEmpty)
        #expect(result.cause.hasPrefix("stillpoint: "), "\(result.errors)")
        #expect(result.errors.split(separator: "\n").filter { !$0.hasPrefix("  ") }.count == 1, "\(result.errors)")
    }

    @Test("with --json is one object on stdout", arguments: wrong)
    func json(_ arguments: [String]) throws {
        guard !arguments.contains("--output") else { return }
        let result = try Command().run(arguments + ["--json"])
        #expect(result.status == 64, "\(result.errors)")
        let object = try result.object()
        #expect(object["schema"] as? String == "stillpoint.error/v1")
        let error = try #require(object["error"] as? [String: Any])
        #expect(Set(error.keys) == ["code", "message", "hint"])
        #expect(error["code"] as? Int == 64)
        #expect((error["message"] as? String)?.isEmpty == false)
    }

    @Test(
        "is told in the shape that it asks for, however it asks",
        arguments: [
            (["snapshot", "db01", "--json-stream", "--bogus"], 1),
            (["begin", "db01", "--output", "json", "--bogus"], 8),
            (["begin", "db01", "--output=json", "--bogus"], 8), (["snapshot", "db01", "--json", "--output", "xml"], 8),
            (["show", "db01", "--artifact", "x", "--json"], 8), (["run", "db01", "--bogus", "--", "x", "--json"], 0),
            (["begin", "db01", "--output", "env", "--json", "--bogus"], 0),
            (["snapshot", "db01", "--output", "xml"], 0),
        ])
    func shapes(_ arguments: [String], lines: Int) throws {
        let result = try Command().run(arguments)
        #expect(result.status == 64 && result.cause.hasPrefix("stillpoint: "), "\(result.errors)")
        #expect(result.output.split(separator: "\n").count == lines, "\(result.output)")
        if lines > 0 { #expect(try result.object()["schema"] as? String == "stillpoint.error/v1") }
    }

    @Test("an option is named as it was written", arguments: ["snapshot", "revert"])
    func shutdown(_ word: String) throws {
        let result = try Command()(word, "db01", "--shutdown=soon")
        #expect(result.cause.contains("--shutdown") && !result.cause.contains("within"), "\(result.cause)")
    }

    @Test(
        "what touches images on another host names the ssh line to run",
        arguments: [
            "snapshot", "commit", "freeze", "recover", "prune", "begin", "end", "run", "export", "copy", "restore",
        ])
    func remote(_ command: String) throws {
        let more = ["run": ["--", "true"], "export": ["--nbd", "/x"], "copy": ["/x"]][command] ?? []
        let result = try Command().run(["-c", "qemu+ssh://root@vmhost:2222/system", command, "db01"] + more)
        #expect(result.status == 64)
        #expect(result.errors.contains("ssh vmhost stillpoint \(command) …"))
        #expect(result.cause.contains("another"))
    }
}

@Suite("The command line", .timeLimit(.minutes(2)))
struct CommandLineTests {
    private static let words =
        """
        doctor disks plan snapshot drill list show current verify run begin end export copy restore commit revert delete prune jobs freeze thaw
        status recover
        """.split { $0 == " " || $0 == "\n" }.map(String.init)

    /// Commands of commands.
    private static let groups = ["hooks", "config"]

    @Test("the help names every command there is and no other, and the exit codes")
    func help() throws {
        let result = try Command()("--help")
        #expect(result.status == 0 && result.errors.isEmpty)
        let listed = result.output.split(separator: "\n").drop { $0 != "SUBCOMMANDS:" }.dropFirst()
            .filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") && !$0.contains("See '") }
            .compactMap { $0.split(separator: " ").first.map(String.init) }
        #expect(listed == Self.words + Self.groups)
        #expect(result.output.contains("30 a guest may still be frozen"))
    }

    @Test("every command has a help of its own", arguments: words + groups)
    func commandHelp(_ word: String) throws {
        let result = try Command()(word, "--help")
        #expect(result.status == 0 && result.errors.isEmpty)
        #expect(result.output.contains("USAGE: stillpoint \(word)"))
    }

    @Test("a command that run cannot find or execute ends as a shell does, before anything is asked")
    func noCommand() throws {
        for (name, status, words) in [
            ("nosuch-command", Int32(127), "not found"), ("/nonexistent/x", 127, "not found"),
            ("/etc/passwd", 126, "not executable"), ("/etc", 126, "not executable"),
        ] {
            let result = try Command()("run", "db01", "--json", "--", name, "x")
            #expect(result.status == status && result.cause.contains(words), "\(result.errors)")
            #expect(try (result.object()["error"] as? [String: Any])?["code"] as? Int32 == status)
        }
    }

    @Test("the version goes to stdout")
    func version() throws {
        let result = try Command()("--version")
        #expect(result.status == 0 && result.errors.isEmpty)
        #expect(result.output.split(separator: ".").count == 3)
    }

    @Test("the URI counts before the command and after it, and after goes before")
    func order() throws {
        for arguments in [
            ["-c", "qemu+tcp://a/system", "list", "db01"], ["list", "db01", "-c", "qemu+tcp://a/system"],
            ["--connect", "qemu+tcp://a/system", "list", "db01"],
            ["-c", "qemu+tcp://b/system", "list", "db01", "--connect=qemu+tcp://a/system"],
        ] {
            let result = try Command().run(arguments)
            #expect(result.status == 64)
            #expect(result.cause.contains("'qemu+tcp://a/system'"), "\(arguments): \(result.cause)")
        }
    }

    @Test("the state folder counts before the command and after it")
    func stateFolder() throws {
        for arguments in ["--state-dir \"$D/state\" list", "list --state-dir \"$D/state\""] {
            let result = try Command().shell("\"$S\" \(arguments) >/dev/null 2>&1; ls \"$D/state\"")
            #expect(result.output == "stillpoint.db\n")
        }
    }

    @Test("virsh's words are taken: --domain, --snapshotname, --disk-only, --atomic, --quiesce, --live")
    func virsh() throws {
        let words = ["--domain", "db01", "--snapshotname", "n", "--disk-only", "--atomic", "--quiesce", "--live"]
        let result = try Command().run(["snapshot"] + words + ["--diskspec", "vdb,snapshot=no"])
        #expect(result.status == 69, "\(result.errors)")
    }

    @Test(
        "and --domain and --snapshotname in the place of arguments, by every command that takes those",
        arguments: [
            ["list", "--domain", "db01"], ["prune", "--domain", "db01", "--abandoned"],
            ["recover", "--domain", "db01"], ["show", "--domain", "db01"], ["show", "--domain", "db01", "s"],
            ["show", "db01", "--snapshotname", "s"],
            ["verify", "--domain", "db01", "--snapshotname", "s"], ["commit", "--domain", "db01", "s"],
            ["delete", "--domain", "db01", "s"], ["delete", "db01", "--snapshotname", "s"],
            ["revert", "--domain", "db01", "--snapshotname", "s"], ["revert", "--domain", "db01", "--undo"],
            ["end", "--domain", "db01", "0123456789abcdef0123456789abcdef"], ["end", "db01", "--snapshotname", "s"],
            ["export", "--domain", "db01", "s", "--nbd", "/x"], ["copy", "--domain", "db01", "/x"],
            ["copy", "--domain", "db01", "s", "/x"], ["copy", "db01", "--snapshotname", "s", "/x"],
            ["copy", "/x", "--domain", "db01", "--snapshotname", "s"],
        ])
    func virshNames(_ arguments: [String]) throws {
        let result = try Command().run(arguments)
        #expect(result.status == 69, "\(result.errors)")
    }

    @Test("an empty LIBVIRT_DEFAULT_URI is none")
    func emptyURI() throws {
        let result = try Command().shell(#"LIBVIRT_DEFAULT_URI= exec "$S" list"#)
        #expect(result.status == 0 && result.output == "no snapshots\n", "\(result.errors)")
    }

    @Test("a configuration that cannot be read ends with 78 and names the line")
    func configuration() throws {
        let result = try Command().shell(
            "printf 'defaults:\\n  maxFreze: 5s\\n' >\"$D/c.yaml\"; exec \"$S\" --config \"$D/c.yaml\" list db01")
        #expect(result.status == 78)
        #expect(result.cause.contains("c.yaml") && result.cause.contains("2"), "\(result.cause)")
        let missing = try Command()("list", "db01", "--config", "/nonexistent/c.yaml")
        #expect(missing.status == 78)
    }

    @Test("and keeps nobody from bringing a guest to safety", arguments: ["thaw", "recover", "status"])
    func rescued(_ word: String) throws {
        #expect(try Command()(word, "db01", "--config", "/nonexistent/c.yaml").status == 69)
    }

    @Test("a hypervisor that does not answer ends with 69, and with --json as one object", arguments: words)
    func unreachable(_ word: String) throws {
        // What these want besides the domain.
        let more =
            [
                "revert": ["s"], "delete": ["s"], "prune": ["--abandoned"], "run": ["--", "true"],
                "export": ["--nbd", "/x"], "copy": ["/x"],
            ][word] ?? []
        let result = try Command().run([word, "db01"] + more)
        #expect(result.status == 69, "\(result.errors)")
        #expect(result.output.isEmpty)
        #expect(result.cause.hasPrefix("stillpoint: cannot open qemu+unix:///system"))
        let json = try Command().run([word, "db01", "--json"] + more)
        #expect(json.status == 69)
        let error = try #require(try json.object()["error"] as? [String: Any])
        #expect(error["code"] as? Int == 69)
    }

    @Test("an unusable state folder ends with one line of cause")
    func badStateFolder() throws {
        let result = try Command()("--state-dir", "/dev/null/state", "list", "db01")
        #expect(result.status != 0 && result.status < 100)
        #expect(result.cause.hasPrefix("stillpoint: ") && result.errors.split(separator: "\n").count <= 2)
    }

    @Test("a reader that goes away changes neither the exit status nor the end")
    func closedPipe() throws {
        let result = try Command().shell(
            #"{ "$S" list db01 --json; echo $? >"$D/status"; } 2>/dev/null | :; cat "$D/status""#)
        #expect(result.output == "69\n")
        let closed = try Command().shell(#""$S" --help >&-; echo $?"#)
        #expect(closed.output == "0\n")
    }
}
