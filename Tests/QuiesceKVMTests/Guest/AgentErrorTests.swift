// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Quiesce
import Testing

@testable import Libvirt
@testable import QuiesceKVM

/// The texts are those of libvirt 9.0's QEMU driver, where the code alone does not tell them apart.
@Suite("libvirt's errors about the guest agent")
struct AgentErrorTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var code: LibvirtError.Code
        var text: String
        var kind: GuestFailure.Kind
        var mayHaveRun: Bool
        var testDescription: String { text }
    }

    static let cases: [Case] = [
        Case(
            code: .agentUnresponsive, text: "Guest agent is not responding: QEMU guest agent is not connected",
            kind: .notConnected, mayHaveRun: false),
        Case(
            code: .agentUnresponsive,
            text: "Guest agent is not responding: QEMU guest agent is not available due to an error", kind: .timedOut,
            mayHaveRun: true),
        Case(
            code: .argumentUnsupported, text: "argument unsupported: QEMU guest agent is not configured",
            kind: .notConnected, mayHaveRun: false),
        Case(
            code: .agentUnresponsive, text: "Guest agent is not responding: Guest agent not available for now",
            kind: .timedOut, mayHaveRun: true),
        Case(
            code: .agentUnresponsive,
            text: "Guest agent is not responding: Guest agent disappeared while executing command", kind: .timedOut,
            mayHaveRun: true),
        Case(
            code: .agentUnsynced, text: "guest agent replied with wrong id to guest-sync command: 1 (expected 2)",
            kind: .timedOut, mayHaveRun: true),
        Case(
            code: .agentCommandTimeout, text: "guest agent didn't respond to command within '5' seconds",
            kind: .timedOut, mayHaveRun: true),
        Case(
            code: .operationInvalid, text: "Requested operation is not valid: domain is not running",
            kind: .notConnected, mayHaveRun: false),
        Case(
            code: .operationTimeout,
            text:
                "Timed out during operation: cannot acquire state change lock (held by agent=remoteDispatchDomainFsfreeze)",
            kind: .busy, mayHaveRun: false),
        Case(
            code: .resourceBusy, text: "resource busy: timed out waiting for the agent", kind: .busy, mayHaveRun: false),
        Case(
            code: .operationDenied, text: "operation virDomainQemuAgentCommand forbidden for read only access",
            kind: .refused, mayHaveRun: false),
        Case(code: .accessDenied, text: "access denied: 'QEMU' denied access", kind: .refused, mayHaveRun: false),
        Case(
            code: .internalError,
            text:
                "internal error: unable to execute QEMU agent command 'guest-exec': Command guest-exec has been disabled",
            kind: .refused, mayHaveRun: false),
        Case(
            code: .internalError,
            text:
                "internal error: unable to execute QEMU agent command 'guest-x': The command guest-x has not been found",
            kind: .refused, mayHaveRun: false),
        Case(
            code: .internalError,
            text:
                "internal error: unable to execute QEMU agent command 'guest-fsfreeze-freeze-list': Command guest-fsfreeze-freeze-list has been disabled: the agent is in frozen state",
            kind: .alreadyFrozen, mayHaveRun: false),
        Case(
            code: .internalError,
            text:
                "internal error: unable to execute QEMU agent command 'guest-fsfreeze-freeze-list': failed to freeze /srv: Input/output error",
            kind: .refused, mayHaveRun: true),
        Case(
            code: .agentCommandFailed,
            text: "unable to execute QEMU agent command 'guest-exec': Guest agent command failed", kind: .refused,
            mayHaveRun: true),
        Case(
            code: .agentCommandFailed,
            text:
                "unable to execute QEMU agent command 'guest-fsfreeze-freeze-list': Command guest-fsfreeze-freeze-list has been disabled: the agent is in frozen state",
            kind: .alreadyFrozen, mayHaveRun: false),
        Case(
            code: .internalError, text: "internal error: client socket is closed", kind: .unreachable, mayHaveRun: true),
        Case(
            code: .internalError, text: "internal error: Missing agent reply object", kind: .unreachable,
            mayHaveRun: true),
        Case(
            code: .internalError, text: "internal error: End of file from agent socket", kind: .unreachable,
            mayHaveRun: true),
        Case(
            code: .systemError, text: "End of file while reading data: Input/output error", kind: .unreachable,
            mayHaveRun: true),
        Case(code: .init(rawValue: 9999), text: "an error of the future", kind: .unreachable, mayHaveRun: true),
    ]

    @Test("each says whether the command may have run, and what the run makes of it", arguments: cases)
    func mapping(_ example: Case) {
        let error = AgentError(
            LibvirtError(code: example.code, message: example.text, call: "virDomainQemuAgentCommand"))
        #expect(error.mayHaveRun == example.mayHaveRun)
        let failure = GuestFailure(error)
        #expect(failure.kind == example.kind)
        #expect(failure.cause.contains(example.text))
    }

    @Test("a guest that puts 'frozen' or 'not connected' into its own refusal does not change what happened")
    func words() {
        let refused = "internal error: unable to execute QEMU agent command 'guest-fsfreeze-freeze-list': "
        for text in [
            "failed to freeze /srv/frozen food: Input/output error", "failed to freeze /mnt/not connected: no",
        ] {
            let error = AgentError(LibvirtError(code: .internalError, message: refused + text, call: "x"))
            #expect(error.mayHaveRun)
            #expect(GuestFailure(error).kind == .refused)
        }
    }

    @Test("the guest's words cannot colour the cause")
    func printable() {
        let text = "internal error: unable to execute QEMU agent command 'guest-exec': \u{1B}[31mred\nnext"
        let cause = GuestFailure(AgentError(LibvirtError(code: .internalError, message: text, call: "x"))).cause
        #expect(!cause.contains("\u{1B}") && !cause.contains("\n"))
    }
}
