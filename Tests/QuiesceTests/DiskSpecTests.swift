// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Testing

@Suite("--diskspec")
struct DiskSpecTests {
    @Test("virsh's grammar is read as virsh reads it")
    func grammar() throws {
        let vdb = try Sample.target("vdb")
        #expect(try DiskSpec("vdb") == DiskSpec(target: vdb))
        #expect(try DiskSpec("vdb,snapshot=external") == DiskSpec(target: vdb))
        #expect(try DiskSpec("vdb,snapshot=no") == DiskSpec(target: vdb, mode: .no))
        #expect(try DiskSpec("vdb,snapshot=internal") == DiskSpec(target: vdb, mode: .internal))
        #expect(try DiskSpec("vdb,file=/srv/o.qcow2,snapshot=external") == DiskSpec(target: vdb, file: "/srv/o.qcow2"))
    }

    @Test("a comma inside a value is written twice")
    func doubledComma() throws {
        let spec = try DiskSpec("vda,file=/srv/a,,b,,,,c=d.qcow2,snapshot=external")
        #expect(spec.file == "/srv/a,b,,c=d.qcow2")
        #expect(spec.mode == .external)
    }

    @Test(
        "what virsh would not understand is a usage error that quotes what was typed",
        arguments: [
            "", "VDA", ",snapshot=no", "/srv/x.qcow2", "vda,snapshot=maybe", "vda,snapshot=", "vda,snapshot",
            "vda,driver=raw",
            "vda,", "vda,file=", "vda,file=relative.qcow2", "vda,snapshot=no,file=/srv/o",
            "vda,snapshot=internal,file=/srv/o",
        ])
    func badWords(_ text: String) throws {
        let failure = try #require(throws: Failure.self) { try DiskSpec(text) }
        #expect(failure.status == .usage)
        #expect(failure.message.contains("'\(text)'"))
    }
}
