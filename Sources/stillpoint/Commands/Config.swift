// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Config: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The configuration: whether it is right, and what may stand in it.",
        subcommands: [ConfigCheck.self, ConfigSchema.self])
}

struct ConfigCheck: Verb {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Reads the configuration as every command would, hooks and their parameters too.")

    @ParentCommand var parent: Stillpoint
    @Argument(help: "This file instead of the standard ones.") var file: String?
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        let settings = try Settings(file: file ?? general.config)
        try settings.check(with: HookCatalogue())
        let report = ConfigurationReport(files: settings.files, guests: settings.guestNames)
        try output.result(report) { report.text($0) }
        return .reached
    }
}

struct ConfigSchema: Verb {
    static let configuration = CommandConfiguration(
        commandName: "schema", abstract: "JSON Schema 2020-12 of the configuration, for editors.")

    @ParentCommand var parent: Stillpoint
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }

    func perform(_ general: GeneralOptions) async throws(Failure) -> ExitStatus {
        Terminal.write(try ConfigurationSchema(HookCatalogue()).text())
        return .reached
    }
}
