// SPDX-License-Identifier: Apache-2.0

import BuiltInHooks
import Foundation
import Glibc
import Quiesce
import Testing

@testable import QuiesceKVM

@Suite("The hook catalogue")
struct HookCatalogueTests {
    private let scratch: ScratchFolder
    private static let header = "#!/bin/sh\n# stillpoint-hook: 1\n"

    init() throws { scratch = try ScratchFolder() }

    private func folder(_ path: String) throws -> HookFolder? {
        try HookFolder(scratch(path), owner: geteuid(), below: scratch.path)
    }

    private func refusal(_ path: String = "etc/hooks", reading name: String? = nil) throws -> Failure {
        try #require(
            #expect(throws: Failure.self) {
                let folder = try folder(path)
                _ = try folder?.names()
                if let name { _ = try folder?.read(name) }
            })
    }

    private func make(_ texts: [String: String], in name: String = "etc") throws {
        if !exists(scratch(name)) {
            _ = try scratch.makeFolder(name)
            _ = try scratch.makeFolder("\(name)/hooks")
        }
        for (file, text) in texts {
            try scratch.write(text, to: "\(name)/hooks/\(file)")
            chmod(scratch("\(name)/hooks/\(file)"), 0o644)
        }
    }

    private func catalogue(_ folders: [String], builtIn: [(String, String)] = []) throws -> HookCatalogue {
        var found: [HookFolder] = []
        for name in folders { if let folder = try folder("\(name)/hooks") { found.append(folder) } }
        return try HookCatalogue(
            found, builtIn: builtIn.map { (name: $0.0, text: Array((Self.header + $0.1).utf8)) },
            common: Array("# common\n".utf8))
    }

    // MARK: who may have written it

    @Test("a folder that is not there holds nothing")
    func missing() throws {
        #expect(try folder("etc/hooks") == nil)
        _ = try scratch.makeFolder("etc")
        #expect(try folder("etc/hooks") == nil)
    }

    @Test(
        "a folder or a file that others may write to is refused by name",
        arguments: [
            ("etc", 0o775), ("etc", 0o757), ("etc/hooks", 0o777), ("etc/hooks", 0o1777), ("etc/hooks", 0o720),
            ("etc/hooks/mysql", 0o664), ("etc/hooks/mysql", 0o646), ("etc/hooks/mysql", 0o666),
        ] as [(String, mode_t)])
    func writable(place: String, mode: mode_t) throws {
        try make(["mysql": Self.header])
        #expect(chmod(scratch(place), mode) == 0)
        let failure = try refusal(reading: "mysql")
        #expect(failure.status == .notPermitted)
        #expect(failure.message.contains(scratch(place) + " may be written to by others"), "\(failure.message)")
        #expect(failure.hint == "chmod go-w \(scratch(place))")
    }

    @Test(
        "a folder or a file of another user is refused by name", .enabled(if: geteuid() == 0),
        arguments: ["etc", "etc/hooks", "etc/hooks/mysql"])
    func foreign(place: String) throws {
        try make(["mysql": Self.header])
        #expect(chown(scratch(place), 65534, 65534) == 0)
        let failure = try refusal(reading: "mysql")
        #expect(failure.status == .notPermitted)
        #expect(failure.message.contains(scratch(place) + " belongs to user 65534"), "\(failure.message)")
    }

    @Test("the folder that everything lies below counts too")
    func base() throws {
        try make([:])
        #expect(chmod(scratch.path, 0o777) == 0)
        #expect(try refusal().message.contains("\(scratch.path) may be written to"))
    }

    @Test(
        "a symbolic link on the way or in the place of a hook is refused",
        arguments: ["etc", "etc/hooks", "etc/hooks/mysql"])
    func link(place: String) throws {
        try make(["mysql": Self.header])
        #expect(rename(scratch(place), scratch("real")) == 0)
        #expect(symlink(scratch("real"), scratch(place)) == 0)
        let failure = try refusal(reading: "mysql")
        #expect(failure.status == .notPermitted && failure.message.contains("symbolic link"), "\(failure.message)")
        #expect(failure.message.contains(scratch(place)))
    }

    @Test("what is no plain file is refused, and nobody waits for a pipe")
    func odd() throws {
        try make([:])
        _ = try scratch.makeFolder("etc/hooks/mysql")
        #expect(try refusal(reading: "mysql").message.contains("not a plain file"))
        #expect(mkfifo(scratch("etc/hooks/redis"), 0o644) == 0)
        #expect(try refusal(reading: "redis").message.contains("not a plain file"))
    }

    @Test("a file in the place of the folder is refused")
    func fileForFolder() throws {
        _ = try scratch.makeFolder("etc")
        try scratch.write("", to: "etc/hooks")
        #expect(try refusal().message.contains("not a folder"))
    }

    // MARK: what is in it

    @Test("the administrator's goes before the package's, and both before the build's")
    func order() throws {
        try make(["mysql": Self.header + "# etc"], in: "etc")
        try make(["mysql": Self.header + "# usr", "redis": Self.header + "# usr"], in: "usr")
        let catalogue = try catalogue(["etc", "usr"], builtIn: [("redis", "# build"), ("sqlite", "# build")])
        #expect(catalogue.hooks.map(\.name) == ["redis", "sqlite", "mysql"])
        #expect(catalogue.hooks.map(\.origin) == [scratch("usr/hooks/redis"), "built in", scratch("etc/hooks/mysql")])
    }

    @Test("the digest is that of what is sent, the common functions in front")
    func digest() throws {
        let hook = try #require(try catalogue([], builtIn: [("mysql", "echo hi\n")]).hooks.first)
        #expect(hook.text == "# common\n\n\(Self.header)echo hi\n")
        #expect(hook.sha256 == SHA256.hex(of: Array(hook.text.utf8)))
        #expect(hook.sha256.count == 64)
    }

    @Test("common functions in a folder go before those of the build")
    func common() throws {
        try make(["common.sh": "# theirs\n"])
        let hook = try #require(try catalogue(["etc"], builtIn: [("mysql", "")]).hooks.first)
        #expect(hook.text.hasPrefix("# theirs\n"))
    }

    @Test("what has no hook's name is none")
    func names() throws {
        try make([
            "README.md": "", "mysql.dpkg-old": "", "mysql~": "", ".mysql": "", "Mysql": "", "9lives": "", "a_b": "",
            String(repeating: "a", count: 33): "", "my-own2": Self.header,
        ])
        #expect(try catalogue(["etc"]).hooks.map(\.name) == ["my-own2"])
    }

    @Test(
        "a hook without the contract's line, of another version or with odd words is an error that names it",
        arguments: [
            ("echo hi\n", "do not say '# stillpoint-hook: 1'"), ("", "do not say"),
            ("#!/bin/sh\necho\n# stillpoint-hook: 1\n", "do not say"),
            ("# stillpoint-hook: 2\n", "written for version 2"), ("# stillpoint-hook: 1 2\n", "written for version"),
            ("# stillpoint-hook:\n", "do not say"),
            ("# stillpoint-hook: 1\n# looks-for: $(reboot)\n", "does not belong into 'looks-for'"),
            ("# stillpoint-hook: 1\n# looks-for: a;b\n", "does not belong into 'looks-for'"),
            ("# stillpoint-hook: 1\n# looks-for: -n\n", "does not belong into 'looks-for'"),
            ("# stillpoint-hook: 1\n# looks-for: a*\n", "does not belong into 'looks-for'"),
            ("# stillpoint-hook: 1\n# looks-for: \u{1B}[31m\n", "\\u{1B}"),
            ("# stillpoint-hook: 1\n# parameters: Mode\n", "does not belong into 'parameters'"),
            ("# stillpoint-hook: 1\n# parameters: lock_wait\n", "does not belong into 'parameters'"),
            ("# stillpoint-hook: 1\n# parameters: name\n", "does not belong into 'parameters'"),
            ("# stillpoint-hook: 1\n# parameters: policy\n", "does not belong into 'parameters'"),
            ("# stillpoint-hook: 1\n# parameters: timeout\n", "does not belong into 'parameters'"),
            ("# stillpoint-hook: 1\n\0", "not a text in UTF-8"),
        ])
    func broken(text: String, message: String) throws {
        try make(["mysql": text])
        let failure = try #require(#expect(throws: Failure.self) { try catalogue(["etc"]) })
        #expect(failure.status == .configuration)
        #expect(failure.message.hasPrefix(scratch("etc/hooks/mysql") + ": "), "\(failure.message)")
        #expect(failure.message.contains(message), "\(failure.message)")
        #expect(!failure.message.contains("\u{1B}"))
    }

    @Test("the header's words are found among other comments, up to the first line that is none")
    func header() throws {
        let header = try HookHeader(
            of: """
                #!/bin/sh
                # SPDX-License-Identifier: Apache-2.0
                #
                # stillpoint-hook: 1
                # looks-for: postgres /usr/lib/postgresql pg_lsclusters
                # parameters: instance mode lockWait
                # mode: checkpoint is the default; see https://example.org/
                set -u
                # parameters: tooLate
                """, from: "here")
        #expect(header.looksFor == ["postgres", "/usr/lib/postgresql", "pg_lsclusters"])
        #expect(header.parameters == ["instance", "mode", "lockWait"])
    }

    @Test("a hook as large as may be sent is taken, one byte more is not, with the common functions counted")
    func size() throws {
        let room = HookCatalogue.largest - "# common\n".utf8.count - 1 - Self.header.utf8.count
        try make(["mysql": Self.header + String(repeating: "#", count: room)])
        #expect(try catalogue(["etc"]).hooks.first?.text.utf8.count == HookCatalogue.largest)
        try make(["mysql": Self.header + String(repeating: "#", count: room + 1)])
        #expect(throws: Failure.self) { try catalogue(["etc"]) }
        try make(["mysql": Self.header + String(repeating: "#", count: 200_000)])
        #expect(throws: Failure.self) { try catalogue(["etc"]) }
    }

    @Test("an unknown name is refused with those there are")
    func unknown() throws {
        let catalogue = try catalogue([], builtIn: [("mysql", ""), ("redis", "")])
        let failure = try #require(
            #expect(throws: Failure.self) { try catalogue.hook("../mysql\n", place: "--hook", else: .usage) })
        #expect(failure == Failure(.usage, "--hook: unknown hook ../mysql\\n", hint: "known: mysql redis"))
        #expect(try catalogue.hook("redis", place: "--hook", else: .usage).name == "redis")
    }

    @Test("the build's own are all there, whole and under their limit")
    func builtIn() throws {
        let catalogue = try HookCatalogue([], builtIn: BuiltInHooks.hooks, common: BuiltInHooks.common)
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../Hooks")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter(HookCatalogue.isHookName)
        #expect(catalogue.hooks.map(\.name).sorted() == files.sorted())
        for hook in catalogue.hooks { #expect(!hook.looksFor.isEmpty, "\(hook.name)") }
    }
}
