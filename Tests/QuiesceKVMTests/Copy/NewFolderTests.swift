// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("A folder that is there when it is whole")
struct NewFolderTests {
    let scratch: ScratchFolder

    init() throws { scratch = try ScratchFolder() }

    @Test("until then nothing has its name, and then all of it has")
    func finish() throws {
        let folder = try NewFolder(for: scratch("new/"), mode: 0o711)
        try folder.draft.write([1], as: "file")
        #expect(try !exists(scratch("new")) && scratch.names.count == 1)
        try folder.finish()
        #expect(try scratch.names == ["new"] && ScratchFolder.mode(scratch("new")) == 0o711)
        #expect(exists(scratch("new/file")))
        folder.remove()
        #expect(try scratch.names.isEmpty)
    }

    @Test("given up, nothing is left; an empty folder of that name stays as it was")
    func remove() throws {
        _ = try scratch.makeFolder("new")
        let folder = try NewFolder(for: scratch("new"), mode: 0o700)
        try folder.draft.write([1], as: "file")
        folder.remove()
        folder.remove()
        #expect(try scratch.names == ["new"])
        let other = try NewFolder(for: scratch("new"), mode: 0o700)
        try other.finish()
        #expect(try scratch.names == ["new"])
    }

    @Test("a place that is taken, is none, or was taken meanwhile is refused, and what is there stays")
    func taken() throws {
        _ = try scratch.makeFolder("full")
        try scratch.write("mine", to: "full/file")
        try scratch.write("mine", to: "file")
        try #require(symlink("full", scratch("link")) == 0)
        for (name, words) in [("full", "something is in it"), ("file", "already"), ("link", "already")] {
            let failure = #expect(throws: Failure.self) { try NewFolder.check(scratch(name)) }
            #expect(failure?.status == .refused && failure?.message.contains(words) == true, "\(name)")
        }
        for path in ["/", "/..", scratch("."), scratch("a\u{1B}b")] {
            #expect(throws: Failure.self) { try NewFolder.check(path) }
        }
        #expect(throws: Failure.self) { try NewFolder.check(scratch("no/such")) }
        let folder = try NewFolder(for: scratch("late"), mode: 0o700)
        _ = try scratch.makeFolder("late")
        try scratch.write("mine", to: "late/file")
        let failure = #expect(throws: Failure.self) { try folder.finish() }
        #expect(failure?.message.contains("meanwhile") == true)
        folder.remove()
        #expect(try scratch.names == ["file", "full", "late", "link"])
        #expect(try scratch.text(of: "late/file") == "mine")
    }

    @Test("a parent behind a link is found, and the path is the real one")
    func link() throws {
        let real = try scratch.makeFolder("real")
        try #require(symlink("real", scratch("link")) == 0)
        #expect(try NewFolder.check(scratch("link/new")) == real + "/new")
    }

    @Test("what a killed process has left goes with the next one, what somebody sees to stays")
    func sweep() throws {
        let mine = try NewFolder(for: scratch("mine"), mode: 0o700)
        let left = try scratch.makeFolder(".stillpoint-new-0123456789abcdef0123456789abcdef")
        try Data().write(to: URL(filePath: left + "/vda.qcow2"))
        let next = try NewFolder(for: scratch("next"), mode: 0o700)
        #expect(!exists(left) && exists(mine.draft.path))
        next.remove()
        mine.remove()
        #expect(try scratch.names.isEmpty)
    }
}
