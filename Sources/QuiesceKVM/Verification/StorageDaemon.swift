// SPDX-License-Identifier: Apache-2.0

import Glibc

/// qemu-storage-daemon, which shows images of any format as raw files through FUSE for as long as a body runs.
struct StorageDaemon: Sendable {
    private let tool: Tool
    private let folder: WorkFolder

    /// - Throws: what is missing on this host, and the package that brings it.
    init(in folder: WorkFolder) throws(StorageDaemonError) {
        do {
            tool = try Tool("qemu-storage-daemon", package: "qemu-system-common")
            // An ordinary user mounts through fusermount3, which is setuid root.
            if geteuid() != 0 { _ = try Tool("fusermount3", package: "fuse3") }
        } catch { throw .notAvailable("\(error)") }
        guard access("/dev/fuse", R_OK | W_OK) == 0 else {
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
        let ready = "\(folder.path)/\(name).pid"
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
}

enum StorageDaemonError: Error {
    /// Images cannot be read on this host, or not now.
    case notAvailable(String)
    case cancelled
}
