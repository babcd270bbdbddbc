// SPDX-License-Identifier: Apache-2.0

import Glibc
import SystemPackage

/// qemu-storage-daemon, which shows images of any format as raw files through FUSE, or on a socket: for as long as a body
/// runs, or until it is told to stop.
struct StorageDaemon: Sendable {
    private let tool: Tool
    private let folder: String

    /// - Parameters:
    ///   - folder: of our own, where it writes its process id.
    ///   - mounts: whether it is to show files.
    /// - Throws: what is missing on this host, and the package that brings it.
    init(in folder: String, mounts: Bool = true) throws(StorageDaemonError) {
        do {
            tool = try Tool("qemu-storage-daemon", package: "qemu-system-common")
            // An ordinary user mounts through fusermount3, which is setuid root.
            if mounts, geteuid() != 0 { _ = try Tool("fusermount3", package: "fuse3") }
        } catch { throw .notAvailable("\(error)") }
        guard !mounts || access("/dev/fuse", R_OK | W_OK) == 0 else {
            throw .notAvailable("/dev/fuse: \(String(cString: strerror(errno))) (modprobe fuse, package fuse3)")
        }
        self.folder = folder
    }

    /// Serves the exports of `graph` while `body` runs.
    ///
    /// - Parameter name: of this service, one of its own for each within a work folder.
    func whileServing<Value: Sendable>(
        _ graph: ExportGraph, named name: String, deadline: ContinuousClock.Instant,
        _ body: @escaping @Sendable () async throws(StorageDaemonError) -> Value
    ) async throws(StorageDaemonError) -> Value {
        let ready = pidFile(name)
        let result: Result<Value, StorageDaemonError>
        do {
            // The daemon writes its pid file when all options before it are done, the mounts included.
            result = try await tool.whileRunning(
                graph.arguments + ["--pidfile", ready], isReady: { access(ready, F_OK) == 0 }, deadline: deadline, body)
        } catch {
            if case .cancelled = error { throw .cancelled }
            throw .notAvailable("\(error)")
        }
        return try result.get()
    }

    /// Serves the exports of `graph` from now until ``stop(_:)``, whatever becomes of us. Returns when they can be read.
    ///
    /// - Parameter descriptors: it holds on to them: the locks of the images.
    func start(
        _ graph: ExportGraph, named name: String, handing descriptors: [CInt]
    ) async throws(StorageDaemonError) -> pid_t {
        let arguments = graph.arguments + ["--pidfile", pidFile(name), "--daemonize"]
        let words: OpenFile
        let first: pid_t
        do throws(Errno) {
            let file = "\(folder)/\(name).errors"
            words = OpenFile(try posix { open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600) })
            unlink(file)
            first = try Detached.start(tool.path, arguments, handing: descriptors, errors: words.descriptor)
        } catch {
            throw .notAvailable("\(tool.name): \(error)")
        }
        // The process that was started ends with 0 when the daemon it has become serves, and else with its complaint.
        let limit = ContinuousClock.now + Self.patience
        var status: CInt = 0
        while waitpid(first, &status, WNOHANG) == 0 {
            if ContinuousClock.now > limit {
                kill(first, SIGKILL)
                waitpid(first, &status, 0)
                await stop(name)
                throw .notAvailable("\(tool.name): not ready after \(Self.patience.components.seconds) s, ended")
            }
            try? await Task.sleep(for: .milliseconds(2))
        }
        guard status == 0, let pid = serving(name) else {
            let reason = (try? words.read(64 << 10)).flatMap(ToolResult.lastLine) ?? "it ended at once"
            throw .notAvailable("\(tool.name): \(reason)")
        }
        return pid
    }

    /// Ends a daemon that ``start(_:named:handing:)`` left, or one whose parent is gone. Safe to call twice.
    func stop(_ name: String) async { await Self.stop(name, in: folder) }

    static func stop(_ name: String, in folder: String) async {
        for (signal, patience) in [(SIGTERM, Duration.seconds(5)), (SIGKILL, .seconds(5))] {
            let limit = ContinuousClock.now + patience
            guard let pid = serving(name, in: folder) else { break }
            kill(pid, signal)
            while serving(name, in: folder) == pid, ContinuousClock.now < limit {
                try? await Task.sleep(for: .milliseconds(5))
            }
        }
        unlink(pidFile(name, in: folder))
    }

    func serving(_ name: String) -> pid_t? { Self.serving(name, in: folder) }

    /// The daemon of that name; nil when it has ended. Told from another process with its number by its own command line.
    static func serving(_ name: String, in folder: String) -> pid_t? {
        let file = pidFile(name, in: folder)
        guard
            let pid = contents(of: file).flatMap({ String(decoding: $0, as: UTF8.self).split(separator: "\n").first })
                .flatMap({ pid_t($0) }), pid > 1, let line = contents(of: "/proc/\(pid)/cmdline")
        else { return nil }
        return line.split(separator: 0).contains { $0.elementsEqual(file.utf8) } ? pid : nil
    }

    private static func contents(of path: String) -> [UInt8]? {
        guard let file = try? OpenFile(posix { open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) }) else { return nil }
        var bytes: [UInt8] = []
        // Files of /proc have no size; a graph of many images makes a long command line.
        while let more = try? file.read(64 << 10, at: bytes.count), !more.isEmpty { bytes += more }
        return bytes
    }

    private static let patience = Duration.seconds(60)

    private func pidFile(_ name: String) -> String { Self.pidFile(name, in: folder) }
    private static func pidFile(_ name: String, in folder: String) -> String { "\(folder)/\(name).pid" }
}

enum StorageDaemonError: Error {
    /// Images cannot be read on this host, or not now.
    case notAvailable(String)
    case cancelled
}
