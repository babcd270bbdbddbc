// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import QuiesceKVM

@Suite("a host program")
struct ToolTests {
    private var soon: ContinuousClock.Instant { .now + .seconds(120) }

    @Test("a program that is not there is named with the package that brings it")
    func missing() {
        #expect(throws: ToolError.notFound(program: "no-such-program", package: "some-package")) {
            try Tool("no-such-program", package: "some-package")
        }
    }

    @Test("arguments arrive as they are, no shell between")
    func arguments() async throws {
        let result = try await Tool("printf", package: "coreutils").run(["%s|", "a b", "$(id)", "'\""], deadline: soon)
        #expect(String(decoding: result.output, as: UTF8.self) == "a b|$(id)|'\"|")
    }

    @Test("the environment holds PATH and LC_ALL, nothing of ours")
    func environment() async throws {
        let result = try await Tool("env", package: "coreutils").run([], deadline: soon)
        let lines = Set(String(decoding: result.output, as: UTF8.self).split(separator: "\n").map(String.init))
        #expect(lines == ["PATH=\(Tool.searchPath)", "LC_ALL=C"])
    }

    @Test("standard input is empty and no other descriptor is inherited")
    func descriptors() async throws {
        let result = try await Tool("ls", package: "coreutils").run(["-l", "/proc/self/fd"], deadline: soon)
        let lines = String(decoding: result.output, as: UTF8.self).split(separator: "\n")
        #expect(lines.contains { $0.contains(" 0 -> /dev/null") })
        // total, 0, 1, 2 and the folder that ls itself reads
        #expect(lines.count == 5)
    }

    @Test("a failing status is a result with the program's last line")
    func failing() async throws {
        let result = try await Tool("ls", package: "coreutils").run(["/nonexistent"], deadline: soon)
        #expect(result.status == .exited(2))
        #expect(result.reason == "/usr/bin/ls: cannot access '/nonexistent': No such file or directory")
    }

    @Test("a program that ignores SIGTERM is killed after its deadline")
    func deadline() async throws {
        let shell = try Tool("sh", package: "dash")
        await #expect(throws: ToolError.timedOut(program: "sh")) {
            try await shell.run(["-c", "trap '' TERM; while :; do sleep 1; done"], deadline: .now + .milliseconds(50))
        }
    }

    @Test("more output than asked for ends the program")
    func flood() async throws {
        let yes = try Tool("yes", package: "coreutils")
        await #expect(throws: ToolError.outputTooLarge(program: "yes", limit: 4096)) {
            try await yes.run([], outputLimit: 4096, deadline: soon)
        }
    }

    @Test("cancelling the task ends the program")
    func cancelled() async throws {
        let sleep = try Tool("sleep", package: "coreutils")
        let task = Task { try await sleep.run(["600"], deadline: .now + .seconds(600)) }
        task.cancel()
        await #expect(throws: ToolError.cancelled(program: "sleep")) { try await task.value }
    }

    @Test("a service lives as long as its body and not longer")
    func service() async throws {
        let sleep = try Tool("sleep", package: "coreutils")
        let found = try await sleep.whileRunning(["86397"], isReady: { runs("86397") }, deadline: soon) {
            runs("86397")
        }
        #expect(found == .success(true))
        #expect(!runs("86397"))
    }

    @Test("a service that ends before it is ready fails with its own words")
    func stillborn() async throws {
        let ls = try Tool("ls", package: "coreutils")
        await #expect(
            throws: ToolError.failedToStart(
                program: "ls", reason: "/usr/bin/ls: cannot access '/nonexistent': No such file or directory")
        ) {
            _ = try await ls.whileRunning(["/nonexistent"], isReady: { false }, deadline: soon) {}
        }
    }

    @Test("at its deadline a service's body is cancelled and the service ended")
    func serviceDeadline() async throws {
        let sleep = try Tool("sleep", package: "coreutils")
        await #expect(throws: ToolError.timedOut(program: "sleep")) {
            _ = try await sleep.whileRunning(["86398"], isReady: { true }, deadline: .now + .milliseconds(50)) {
                try? await Task.sleep(for: .seconds(600))
            }
        }
        #expect(!runs("86398"))
    }
}
