// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Quiesce
import Testing

@testable import Libvirt
@testable import QuiesceKVM

@Suite("libvirt's errors as exit statuses")
struct FailureMappingTests {
    private static let fromQEMU = 10
    private static let fromRPC = 7

    private func failure(_ code: LibvirtError.Code, _ message: String, from domain: Int = fromQEMU) -> Failure {
        Failure(
            LibvirtError(code: code, domain: domain, message: message, call: "virDomainGetXMLDesc"),
            doing: "look at db01")
    }

    @Test(
        "a conversation with the daemon that broke down is 69, whatever libvirt's code for it",
        arguments: [
            (LibvirtError.Code.internalError, "internal error: client socket is closed"),
            (.internalError, "internal error: connection closed due to keepalive timeout"),
            (.systemError, "End of file while reading data: Input/output error"),
            (.systemError, "Cannot recv data: Connection reset by peer"),
            (.systemError, "Failed to connect socket to '/run/libvirt/libvirt-sock': No such file or directory"),
            (.rpc, "Unable to read TLS record"),
            (.invalidConnection, "invalid connection pointer in virDomainGetXMLDesc"),
            (.noConnect, "no connection driver available for qemu+unix:///x"),
        ])
    func unreachable(_ code: LibvirtError.Code, _ message: String) {
        let failure = failure(code, message, from: Self.fromRPC)
        #expect(failure.status == .unreachable)
        #expect(failure.message.contains(message))
        #expect(failure.hint?.contains("libvirtd") == true)
    }

    @Test(
        "what the daemon itself could not do is no unreachable daemon",
        arguments: [
            (
                LibvirtError.Code.internalError, "internal error: unable to execute QEMU command 'query-block': no",
                Quiesce.ExitStatus.internalError
            ),
            (.systemError, "missing existing file for disk vda: '/srv/x': No such file or directory", .internalError),
            (.operationFailed, "operation failed: disk 'vda' not found in domain", .internalError),
            (.operationDenied, "operation virDomainSnapshotCreateXML forbidden for read only access", .notPermitted),
            (.accessDenied, "access denied: 'QEMU' denied access", .notPermitted),
            (.resourceBusy, "Requested operation is not valid", .busy),
            (
                .operationTimeout,
                "Timed out during operation: cannot acquire state change lock (held by monitor=remoteDispatchDomainSnapshotCreateXML)",
                .busy
            ),
            (.blockCopyActive, "block copy still active: disk 'vda' already in active block job", .busy),
            (.noDomain, "Domain not found: no domain with matching name 'db01'", .noSuchThing),
            (.noDomainSnapshot, "Domain snapshot not found: no domain snapshot with matching name 'x'", .noSuchThing),
            (.ok, "failed and gave no reason", .internalError),
            (.init(rawValue: 9999), "of the future", .internalError),
        ])
    func others(_ code: LibvirtError.Code, _ message: String, _ status: Quiesce.ExitStatus) {
        #expect(failure(code, message).status == status)
    }

    @Test(
        "a daemon that does not let us in is 77, with what to do",
        arguments: [
            (
                LibvirtError.Code.authUnavailable,
                "authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.manage'"
            ),
            (.authFailed, "authentication failed: access denied by policy"),
            (.authCancelled, "authentication cancelled"),
            (.systemError, "Failed to connect socket to '/run/libvirt/libvirt-sock': Permission denied"),
        ])
    func notLetIn(_ code: LibvirtError.Code, _ message: String) {
        let failure = failure(code, message, from: Self.fromRPC)
        #expect(failure.status == .notPermitted)
        #expect(failure.hint?.contains("group libvirt") == true)
    }

    @Test("the message is one line without anything that moves a cursor, and names what was tried")
    func oneLine() {
        for code in [LibvirtError.Code.noDomain, .internalError, .noConnect, .resourceBusy, .accessDenied] {
            let failure = failure(code, "domain \u{1B}[31mx\nnot found")
            #expect(!failure.message.contains("\u{1B}") && !failure.message.contains("\n"), "\(code)")
        }
        #expect(failure(.internalError, "x").message.hasPrefix("cannot look at db01: "))
    }
}
