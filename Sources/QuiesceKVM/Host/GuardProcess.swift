// SPDX-License-Identifier: Apache-2.0

import Glibc
import Quiesce
import Synchronization
import SystemPackage

/// `stillpoint-guard`, started for one run in a session of its own, so that what ends the run does not end it as well.
final class GuardProcess: Guardian {
    private struct Child {
        let pid: pid_t
        let socket: OpenFile
    }

    private let guest: GuestIdentity
    private let program: String
    private let time: any Time
    private let run: RunID
    private let state: StateFolder
    private let lock: CInt?
    private let child = Mutex<Child?>(nil)
    /// What keeps its last word; opened by ``stand()``, before anything is frozen.
    private let note = Mutex<OpenFile?>(nil)

    /// - Parameters:
    ///   - program: the guardian's executable; nil for the one beside ours, or in `/usr/libexec/stillpoint`.
    ///   - lock: the guest's lock, held on by the guardian.
    init(
        of run: RunID, on guest: GuestIdentity, program: String? = nil, lock: CInt?, state: StateFolder, time: any Time
    ) throws(Failure) {
        self.run = run
        self.state = state
        self.guest = guest
        self.program = if let program { program } else { try Self.installed() }
        self.lock = lock
        self.time = time
    }

    private static func installed() throws(Failure) -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let own = String(decoding: buffer.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let candidates = [split(own).folder + "/stillpoint-guard", "/usr/libexec/stillpoint/stillpoint-guard"]
        guard let found = candidates.first(where: { access($0, X_OK) == 0 }) else {
            throw Failure(
                .internalError, "the guardian is missing: neither \(candidates.joined(separator: " nor ")) can be run",
                hint: "install stillpoint-guard beside stillpoint")
        }
        return found
    }

    func stand() async throws(Failure) {
        let note = try Manifest.guardNote(of: run, in: state)
        self.note.withLock { $0 = note }
        let what = "cannot start the guardian of \(guest.name)"
        let socket = try explaining(what, else: .internalError) { () throws(Errno) in try spawn(note) }
        var word: [UInt8] = []
        let limit = time.now + .seconds(15)
        while !word.contains(UInt8(ascii: "\n")) {
            var bytes = [UInt8](repeating: 0, count: 16)
            let got = recv(socket.descriptor, &bytes, bytes.count, CInt(MSG_DONTWAIT))
            if got > 0 { word += bytes.prefix(got) }
            if got == 0 || time.now > limit {
                dismiss()
                throw Failure(
                    .refused, "the guardian of \(guest.name) does not reach the guest's agent; nothing was frozen",
                    hint: "stillpoint doctor \(guest.name)")
            }
            if got < 0 { await time.sleep(until: time.now + .milliseconds(5)) }
        }
    }

    private func spawn(_ note: OpenFile) throws(Errno) -> OpenFile {
        var pair: [CInt] = [-1, -1]
        try posix { socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0, &pair) }
        let (ours, theirs) = (OpenFile(pair[0]), OpenFile(pair[1]))
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for number in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] {
            posix_spawn_file_actions_addopen(&actions, number, "/dev/null", O_RDWR, 0)
        }
        // Out of the way of the numbers they are to get.
        var sources: [OpenFile] = []
        for (descriptor, number) in [(theirs.descriptor, 3), (note.descriptor, 4), (lock ?? note.descriptor, 5)] {
            let source = OpenFile(try posix { fcntl(descriptor, F_DUPFD_CLOEXEC, 16) })
            posix_spawn_file_actions_adddup2(&actions, source.descriptor, CInt(number))
            sources.append(source)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A session of its own: POSIX_SPAWN_SETSID, which Swift's Glibc module does not have. No signal blocked.
        var noSignals = sigset_t()
        sigemptyset(&noSignals)
        posix_spawnattr_setsigmask(&attributes, &noSignals)
        posix_spawnattr_setflags(&attributes, 0x80 | Int16(POSIX_SPAWN_SETSIGMASK))
        var pid = pid_t()
        let words: [String] = [program, guest.uri, guest.uuid]
        let arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { arguments.forEach { free($0) } }
        let status = withExtendedLifetime(sources) {
            posix_spawn(&pid, program, &actions, &attributes, arguments, environ)
        }
        guard status == 0 else { throw Errno(rawValue: status) }
        child.withLock { $0 = Child(pid: pid, socket: ours) }
        return ours
    }

    func arm(_ limit: Duration) throws(Failure) {
        let isTold = child.withLock { child in
            child.map { tell($0.socket, "freeze \(limit.inMilliseconds)\n") } ?? false
        }
        guard isTold else {
            throw Failure(.refused, "the guardian of \(guest.name) has died; nothing was frozen", hint: "dmesg | tail")
        }
    }

    func dismiss() {
        child.withLock { child in
            guard let socket = child?.socket else { return }
            _ = tell(socket, "done\n")
        }
    }

    private func tell(_ socket: OpenFile, _ words: String) -> Bool {
        let bytes = Array(words.utf8)
        return send(socket.descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL)) == bytes.count
    }

    func lastWord() async -> String? {
        guard let pid = child.withLock({ $0?.pid }) else { return nil }
        let limit = time.now + .seconds(1)
        var status: CInt = 0
        while waitpid(pid, &status, WNOHANG) == 0, time.now < limit {
            await time.sleep(until: time.now + .milliseconds(2))
        }
        child.withLock { $0 = nil }
        let bytes = note.withLock { note -> [UInt8] in
            defer { note = nil }
            return (try? note?.read(512)) ?? []
        }
        let word = ToolResult.printable(bytes.split(separator: 0x0A).first ?? [])
        guard word.isEmpty else { return word }
        Manifest.forgetGuard(of: run, in: state)
        return nil
    }
}
