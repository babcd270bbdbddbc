// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Glibc
import Quiesce
import QuiesceKVM

/// What every command has in common: it opens the workplace, does one thing, and ends with a published status.
protocol Verb: AsyncParsableCommand {
    /// It brings a guest to safety, or says how it stands, whatever the configuration says.
    static var rescues: Bool { get }
    var parent: Stillpoint { get }
    var general: GeneralOptions { get }
    var output: Output { get }
    func perform(_ options: GeneralOptions) async throws(Failure) -> ExitStatus
}

extension Verb {
    static var rescues: Bool { false }

    func run() async throws {
        let options = general.over(parent.general)
        let status: ExitStatus
        do throws(Failure) {
            status = try await perform(options)
        } catch {
            output.failed(error)
            Terminal.suggest(error.hint)
            Terminal.complain("stillpoint: \(error.message)\n")
            throw ExitCode(error.status.rawValue)
        }
        if status != .reached { throw ExitCode(status.rawValue) }
    }

    func workplace(_ options: GeneralOptions) throws(Failure) -> Workplace {
        let workplace = try Workplace(options.uri, stateFolder: options.stateDir, configuration: options.config)
        if !Self.rescues { try workplace.demandConfiguration() }
        return workplace
    }
}
