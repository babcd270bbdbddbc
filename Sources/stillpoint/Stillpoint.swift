// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CFootprint
import Dispatch
import Glibc
import Quiesce
import QuiesceKVM

@main
struct Stillpoint: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stillpoint",
        abstract: "Snapshots of running KVM guests whose consistency is proved, not hoped for.",
        discussion: """
            Exit codes: 0 level reached, 10 filesystem only, 11 crash only, 12 required level missed and undone,
            20 refused, 21 freeze failed, 22 snapshot failed, 23 release failed, 24 verification failed, 25 quarantined,
            30 a guest may still be frozen, 40 run's command failed, 64 usage, 66 no such domain or snapshot,
            69 hypervisor unreachable, 70 internal error, 75 busy, 77 not permitted, 78 configuration,
            126/127 run's command cannot be run, 129/130/143 interrupted after a clean thaw.
            """,
        version: Workplace.version,
        // Each says its name itself: the parser finds it out by casts that take 0.1 ms a command.
        subcommands: [
            Doctor.self, Disks.self, Plan.self, Snapshot.self, Drill.self, List.self, Show.self, Current.self,
            Verify.self, Run.self, Begin.self, End.self, Export.self, Copy.self, Restore.self,
            Commit.self, Revert.self, Delete.self, Prune.self, Jobs.self, Freeze.self, Thaw.self, Status.self,
            Recover.self, Hooks.self, Config.self,
        ])

    @OptionGroup var general: GeneralOptions

    /// Not async: that ends the main thread, and unwinding it reads a megabyte of tables.
    static func main() {
        // A reader that goes away must not end us in the middle of a run.
        signal(SIGPIPE, SIG_IGN)
        footprint_reduce()
        let done = DispatchSemaphore(value: 0)
        Task.detached {
            // What comes after -- is another's command.
            let words = CommandLine.arguments.dropFirst()
            let ours = words.prefix { $0 != "--" }
            await obey(ours.map(Self.spelled) + words.dropFirst(ours.count))
            done.signal()
        }
        done.wait()
    }

    /// An option whose value may be left out is two for the parser, which else drops a value that it cannot read.
    private static func spelled(_ word: String) -> String {
        let short = "--shutdown="
        return word.hasPrefix(short) ? "--shutdown-within=\(word.dropFirst(short.count))" : word
    }

    private static func obey(_ arguments: [String]) async {
        do {
            var command = try parseAsRoot(arguments)
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let status as ExitCode {
            Glibc.exit(status.rawValue)
        } catch {
            leave(with: error, arguments)
        }
    }

    /// What the parser says: help and version on stdout, a usage error on stderr, and as an object where JSON was asked for.
    private static func leave(with error: any Error, _ arguments: [String]) -> Never {
        let code = exitCode(for: error)
        let text = fullMessage(for: error)
        if code.isSuccess {
            Terminal.write(text + "\n")
        } else {
            // The last line is the cause, and the one before it where to read on.
            let cause = message(for: error).split(separator: "\n").joined(separator: " ")
                .replacing("--shutdown-within", with: "--shutdown")
            let hint = text.split(separator: "\n").last { $0.hasPrefix("  See ") }?.dropFirst(2)
            Output(asked: arguments).failed(Failure(.usage, cause, hint: hint.map(String.init)))
            Terminal.complain((hint.map { "  \($0)\n" } ?? "") + "stillpoint: \(cause)\n")
        }
        Glibc.exit(code.rawValue)
    }
}
