// SPDX-License-Identifier: Apache-2.0

import Glibc
import SystemPackage

/// A program that goes on without us: in a session of its own, with no signal blocked, and with nothing of ours but what
/// it is handed.
enum Detached {
    /// Starts it and returns its id; it is the caller's to wait for.
    ///
    /// - Parameters:
    ///   - descriptors: become 3, 4, … in the program, which gets no others.
    ///   - errors: its standard error; `/dev/null` for nil, as its other standard streams are.
    static func start(
        _ program: String, _ arguments: [String], handing descriptors: [CInt], errors: CInt? = nil
    ) throws(Errno) -> pid_t {
        keepToOurselves()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for number in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] {
            posix_spawn_file_actions_addopen(&actions, number, "/dev/null", O_RDWR, 0)
        }
        // Out of the way of the numbers they are to get.
        var sources: [OpenFile] = []
        let numbers = descriptors.enumerated().map { (3 + $0.offset, $0.element) }
        for (number, descriptor) in numbers + (errors.map { [(Int(STDERR_FILENO), $0)] } ?? []) {
            let source = OpenFile(try posix { fcntl(descriptor, F_DUPFD_CLOEXEC, CInt(16 + descriptors.count)) })
            posix_spawn_file_actions_adddup2(&actions, source.descriptor, CInt(number))
            sources.append(source)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A session of its own: POSIX_SPAWN_SETSID, which Swift's Glibc module does not have.
        var noSignals = sigset_t()
        sigemptyset(&noSignals)
        posix_spawnattr_setsigmask(&attributes, &noSignals)
        posix_spawnattr_setflags(&attributes, 0x80 | Int16(POSIX_SPAWN_SETSIGMASK))
        var pid = pid_t()
        let words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        defer { words.forEach { free($0) } }
        let status = withExtendedLifetime(sources) {
            posix_spawn(&pid, program, &actions, &attributes, words, environ)
        }
        guard status == 0 else { throw Errno(rawValue: status) }
        return pid
    }

    /// Ours are closed in the program anyway. Those that whoever called us left open are not: a daemon that keeps a script's
    /// pipe or lock keeps the script waiting.
    private static func keepToOurselves() {
        for descriptor in FolderEntries.of("/proc/self/fd").compactMap(CInt.init) where descriptor > STDERR_FILENO {
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        }
    }
}
