// SPDX-License-Identifier: Apache-2.0

import GuestAgent
public import Quiesce

extension OpenGuest {
    /// Puts the drop-ins in place through guest-exec, a file a call.
    public func install(_ dropIns: DropIns) async throws(Failure) -> InstallationReport {
        var said = try await inGuest(DropIns.prepare, input: [])
        for file in dropIns.files {
            let script = "\(DropIns.prepareFolder)\n\(DropIns.place)\nplace \"$1\""
            said += try await inGuest(script, [file.name], input: Array(file.text.utf8))
        }
        said += try await inGuest("\(DropIns.prepareFolder)\n\(DropIns.check)", input: [])
        return InstallationReport(
            domain: identity, files: said.compactMap { $0.after("wrote ") },
            notes: said.compactMap { $0.after("note ") })
    }

    /// Whether guest-exec is allowed; a guest without an agent is an error.
    public func canExecute() async throws(Failure) -> Bool {
        do throws(AgentError) {
            let info = try await agent.info()
            return info.allows("guest-exec") && info.allows("guest-exec-status")
        } catch {
            throw Failure(
                .refused, "the guest agent of \(identity.name) does not answer: \(error.description)",
                hint: "stillpoint doctor \(identity.name)")
        }
    }

    /// The lines it prints. The script is an argument here, because its stdin is the file.
    private func inGuest(
        _ script: String, _ arguments: [String] = [], input: [UInt8]
    ) async throws(Failure) -> [String] {
        let command = GuestCommand(
            "/bin/sh", arguments: ["-c", "set -eu\n" + script, "stillpoint"] + arguments, input: input)
        let what = "cannot install the hooks in \(identity.name)"
        let hint = "stillpoint hooks install \(identity.name) --print | ssh root@\(identity.name) sh"
        let outcome: ExecOutcome
        do throws(AgentError) {
            outcome = try await agent.exec(command, deadline: .now + .seconds(30))
        } catch {
            throw Failure(.refused, "\(what): \(error.description)", hint: hint)
        }
        guard case .finished(let result) = outcome else {
            throw Failure(.refused, "\(what): no answer within 30 s", hint: hint)
        }
        guard result.succeeded else {
            let cause = String(decoding: result.stderr.bytes, as: UTF8.self).split(separator: "\n").last ?? ""
            throw Failure(.refused, "\(what): \(cause.printable(limit: 300))", hint: hint)
        }
        return String(decoding: result.stdout.bytes, as: UTF8.self).split(separator: "\n").map {
            $0.printable(limit: 300)
        }
    }
}

extension String {
    fileprivate func after(_ prefix: String) -> String? { hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil }
}
