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
        let pid = try Detached.start(
            program, [guest.uri, guest.uuid], handing: [theirs.descriptor, note.descriptor, lock ?? note.descriptor])
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
        // From here on it is the run's to tell.
        Manifest.forgetGuard(of: run, in: state)
        return word.isEmpty ? nil : word
    }
}
