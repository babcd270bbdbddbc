// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("state lies in one folder that is the user's alone")
struct StateFolderTests {
    let scratch: ScratchFolder

    init() throws { scratch = try ScratchFolder() }

    @Test("it is made on first use, with its parents, for the user alone")
    func made() throws {
        let state = try StateFolder(scratch("a/b/state"))
        #expect(state.path == scratch("a/b/state"))
        #expect(try scratch.mode("a/b/state") == 0o700)
    }

    @Test("a folder that another may write to is refused", arguments: [0o770, 0o702, 0o1777] as [mode_t])
    func writable(mode: mode_t) throws {
        let place = try scratch.makeFolder("state", mode: mode)
        let failure = #expect(throws: Failure.self) { try StateFolder(place) }
        #expect(failure?.status == .configuration)
    }

    @Test("a folder of another user is refused", .enabled(if: geteuid() == 0))
    func foreign() throws {
        let place = try scratch.makeFolder("state", mode: 0o700)
        try #require(chown(place, 65534, 65534) == 0)
        #expect(throws: Failure.self) { try StateFolder(place) }
    }

    @Test("a symbolic link or a file in its place is refused")
    func link() throws {
        try #require(symlink(try scratch.makeFolder("real", mode: 0o700), scratch("link")) == 0)
        try scratch.write("", to: "file")
        #expect(throws: Failure.self) { try StateFolder(scratch("link")) }
        #expect(throws: Failure.self) { try StateFolder(scratch("file")) }
    }

    @Test("root's is in /var/lib, another's where XDG says, else in the home folder")
    func standard() throws {
        func place(_ variables: [String: String], user: uid_t = 1000) throws -> String {
            try StateFolder.standard({ variables[$0] }, user: user)
        }
        #expect(try place(["HOME": "/root"], user: 0) == "/var/lib/stillpoint")
        #expect(try place(["HOME": "/home/a", "XDG_STATE_HOME": "/x"]) == "/x/stillpoint")
        #expect(try place(["HOME": "/home/a"]) == "/home/a/.local/state/stillpoint")
        #expect(throws: Failure.self) { try place([:]) }
    }

    @Test("a file is replaced whole, and nothing else is left")
    func write() throws {
        let folder = try Folder(scratch.path)
        try folder.write(Array("one".utf8), as: "file")
        try folder.write(Array("two".utf8), as: "file")
        #expect(try scratch.text(of: "file") == "two")
        #expect(try scratch.mode("file") == 0o600)
        #expect(try scratch.names == ["file"])
    }

    @Test("what we open, no child inherits")
    func inheritance() throws {
        try scratch.write("", to: "file")
        let file = try Folder(scratch.path).open("file", O_RDONLY)
        #expect(fcntl(file.descriptor, F_GETFD) & FD_CLOEXEC != 0)
    }
}
