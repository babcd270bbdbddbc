// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Testing

/// A script in a shell of this host.
enum Shell {
    struct Result {
        var status: Int32
        var output: String
    }

    /// dash where there is one: it takes nothing that POSIX does not have.
    static let posix = exists("/usr/bin/dash") ? "/usr/bin/dash" : "/bin/sh"

    /// Not by Foundation's Process: it waits until everything that the script has left in the background has ended too.
    static func run(
        _ script: String, _ arguments: [String] = [], with shell: String = posix, environment: [String: String] = [:]
    ) throws -> Result {
        let scratch = try ScratchFolder()
        let variables = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"]
            .merging(environment) { _, new in new }.map { "\($0)=\($1)" }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, scratch("output"), O_WRONLY | O_CREAT, 0o600)
        // What it leaves in the background must hold no other test's pipe open.
        for descriptor in CInt(3)..<256 { posix_spawn_file_actions_addclose(&actions, descriptor) }
        // A shell whose SIGCHLD is blocked, as it may be on a thread of the tests, waits for ever.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var noSignals = sigset_t()
        sigemptyset(&noSignals)
        posix_spawnattr_setsigmask(&attributes, &noSignals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        // By that name busybox too is a shell.
        var words = (["sh", "-c", script, "stillpoint"] + arguments).map { strdup($0) } + [nil]
        var settings = variables.map { strdup($0) } + [nil]
        defer { for text in words + settings { free(text) } }
        var child = pid_t()
        try #require(posix_spawn(&child, shell, &actions, &attributes, &words, &settings) == 0)
        var status: CInt = 0
        while waitpid(child, &status, 0) < 0 { try #require(errno == EINTR) }
        // The exit code; 128 and more for a signal.
        let code = status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F)
        return Result(status: code, output: try scratch.text(of: "output"))
    }
}

extension ScratchFolder {
    /// A script that can be run. Written by a process of its own: while we had it open for writing, a child that another
    /// test is just starting would hold it open too, and running it would be "Text file busy".
    func program(_ text: String, at name: String) throws {
        let written = try Shell.run(
            #"printf '%s\n' "$1" >"$2" && chmod 0755 "$2""#, ["#!/bin/sh\n" + text, self(name)])
        try #require(written.status == 0)
    }
}
