// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Quiesce
import QuiesceKVM

struct Prune: MergeVerb {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract: "Delete old snapshots of ours and what reverts left; what is exported or begun stays.")
    static let command = CommitRun.Request.Command.prune

    @ParentCommand var parent: Stillpoint
    @OptionGroup var guest: DomainArgument
    @Option(help: "The newest so many stay; default what the configuration says.") var keep: Int?
    @Option(help: "Those older than this go, such as 7d.") var olderThan: Span?
    @Flag(help: "Only what reverts left.") var abandoned = false
    @OptionGroup var pace: PaceOptions
    @Option(help: "How long to wait for another run on this guest; default not at all.") var wait: Span?
    @Flag(help: "Print what would go and change nothing.") var dryRun = false
    @OptionGroup var shape: OutputOptions
    @OptionGroup var general: GeneralOptions

    var output: Output { shape.output }
    var domain: String? { guest.given }

    func validate() throws {
        guard [keep != nil, olderThan != nil, abandoned].filter({ $0 }).count <= 1 else {
            throw ValidationError("--keep, --older-than and --abandoned do not go together")
        }
        if let keep, keep < 0 { throw ValidationError("--keep takes a number from 0 on") }
    }

    func complete(_ request: inout CommitRun.Request, in workplace: Workplace) throws(Failure) {
        request.options = pace.options
        if let keep {
            request.rule = .keep(keep)
        } else if let olderThan {
            request.rule = .olderThan(olderThan.duration)
        } else if abandoned {
            request.rule = .abandonedOnly
        } else if let rule = try workplace.pruneRule() {
            request.rule = rule
        } else {
            throw Failure(
                .usage, "nothing says what to keep",
                hint: "--keep 7   or   --older-than 30d   or in the configuration   prune: { keep: 7 }")
        }
    }
}
