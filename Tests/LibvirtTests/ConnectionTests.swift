// SPDX-License-Identifier: Apache-2.0

import Glibc
import Libvirt
import Testing

@Suite("Connection")
struct ConnectionTests {
    @Test("it tells where it leads and what answers there")
    func identity() throws {
        let connection = try TestNode.connect()
        #expect(try connection.isAlive())
        #expect(try connection.uri().hasPrefix("test:///"))
        #expect(try connection.type() == "TEST")
        #expect(try !connection.hostname().isEmpty)
        #expect(try connection.hypervisorVersion() == "0.0.2")
        #expect(try connection.libraryVersion().wholeMatch(of: /[0-9]+\.[0-9]{1,3}\.[0-9]{1,3}/) != nil)
        #expect(try connection.capabilitiesXML().contains("<capabilities>"))
    }

    @Test("a URI that leads nowhere is refused with libvirt's reason")
    func nowhere() throws {
        let error = try #require(throws: LibvirtError.self) { _ = try Connection(uri: "qemu+pigeon:///system") }
        #expect(error.code == .invalidArgument)
        #expect(error.call == "virConnectOpen")
        #expect(error.message.contains("transport"))
    }

    @Test("a daemon that takes a connection and never answers on it is given up")
    func hangs() throws {
        let path = "/tmp/stillpoint-hangs-\(getpid())"
        let socket = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        defer {
            close(socket)
            unlink(path)
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let isBound = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        #expect(isBound == 0 && listen(socket, 1) == 0)
        let error = try #require(throws: LibvirtError.self) {
            _ = try Connection.open("qemu+unix:///system?socket=\(path)", withinMilliseconds: 100)
        }
        #expect(error.isOfConnection && error.message == "the daemon does not answer")
    }

    @Test("a driver without a daemon has no keepalive")
    func keepAlive() throws {
        let connection = try TestNode.connect()
        let error = try #require(throws: LibvirtError.self) { try connection.setKeepAlive(interval: 5, count: 3) }
        #expect(error.code == .noSupport)
    }

    @Test("a read-only connection looks and does not touch")
    func readOnly() throws {
        let domain = try TestNode.connect(readOnly: true).domain(named: "guest")
        #expect(try domain.isActive())
        let error = try #require(throws: LibvirtError.self) { try domain.destroy() }
        #expect(error.code == .operationDenied)
    }

    @Test("the list of domains has the running and the others")
    func domains() throws {
        let connection = try TestNode.connect()
        try connection.define(xml: TestNode.domainXML(name: "idle"))
        #expect(try Set(connection.domains().map(\.name)) == ["guest", "idle"])
    }

    @Test("a domain is found by name, by id and by UUID, and by each as a reference")
    func lookup() throws {
        let connection = try TestNode.connect()
        let guest = try connection.domain(named: "guest")
        let id = try #require(guest.id)
        #expect(guest.uuid == TestNode.uuid)
        #expect(try connection.domain(id: id).uuid == guest.uuid)
        #expect(try connection.domain(uuid: TestNode.uuid).name == "guest")
        for reference in ["guest", String(id), TestNode.uuid, TestNode.uuid.uppercased()] {
            #expect(try connection.domain(reference).uuid == guest.uuid, "\(reference)")
        }
    }

    @Test("a running id comes before the same name, and the name is found once nothing runs under that id")
    func idBeforeName() throws {
        let connection = try TestNode.connect()
        let id = try #require(try connection.domain(named: "guest").id)
        try connection.define(xml: TestNode.domainXML(name: String(id)))
        #expect(try connection.domain(String(id)).name == "guest")
        try connection.domain(named: "guest").destroy()
        #expect(try connection.domain(String(id)).name == String(id))
    }

    @Test("a name as long as a UUID is still a name")
    func longName() throws {
        let connection = try TestNode.connect()
        let name = String(repeating: "x", count: 36)
        try connection.define(xml: TestNode.domainXML(name: name))
        #expect(try connection.domain(name).name == name)
    }

    @Test("an unknown domain is a kind of its own", arguments: ["nobody", "4711", "-1"])
    func unknown(reference: String) throws {
        let connection = try TestNode.connect()
        let error = try #require(throws: LibvirtError.self) { _ = try connection.domain(reference) }
        #expect(error.code == .noDomain)
        #expect(error.call == "virDomainLookupByName")
        #expect(error.description == "\(error.message) (virDomainLookupByName, libvirt error 42)")
    }
}
