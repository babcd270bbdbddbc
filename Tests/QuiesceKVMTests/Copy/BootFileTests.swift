// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Quiesce
@testable import QuiesceKVM

@Suite("A kernel that goes with the copy")
struct BootFileTests {
    @Test("both are found in a definition, and none in one that boots from its disk")
    func find() throws {
        let files = try BootFile.all(of: Fixture.text("q35-storage.domain.xml"))
        #expect(files.map(\.name) == ["kernel", "initrd"] && files.allSatisfy { $0.path.hasPrefix("/") })
        #expect(try BootFile.all(of: CopyFolder.definition).isEmpty)
    }

    @Test("it is copied whole, for its owner alone; one that is gone is told as such, and what is no file is refused")
    func copy() throws {
        let scratch = try ScratchFolder()
        let text = String(repeating: "kernel", count: 200_000)
        try scratch.write(text, to: "vmlinuz")
        let folder = try Folder(try scratch.makeFolder("copy"))
        try BootFile(name: "kernel", path: scratch("vmlinuz")).copy(to: folder)
        #expect(try scratch.text(of: "copy/kernel") == text && scratch.mode("copy/kernel") == 0o600)
        for (path, status) in [
            (scratch("gone"), Quiesce.ExitStatus.noSuchThing), ("/dev/zero", .refused), ("/", .refused),
        ] {
            let failure = #expect(throws: Failure.self) { try BootFile(name: "initrd", path: path).copy(to: folder) }
            #expect(failure?.status == status)
        }
        #expect(!exists(scratch("copy/initrd")))
    }
}
