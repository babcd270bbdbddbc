// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Glibc
import Quiesce
import QuiesceKVM

/// Taken before the command, as in virsh, and after it.
struct GeneralOptions: ParsableArguments {
    @Option(
        name: [.short, .customLong("connect")],
        help: "libvirt URI; default $LIBVIRT_DEFAULT_URI, else qemu:///system for root, qemu:///session for others.")
    var connect: String?

    @Option(help: "Folder of journal, catalogue and manifests.")
    var stateDir: String?

    @Option(help: "Configuration file; default /etc/stillpoint/config.yaml and conf.d beside it.")
    var config: String?

    @Flag(name: .shortAndLong, help: "No progress on stderr.")
    var quiet = false

    @Flag(name: .shortAndLong, help: "Each step on a line of its own on stderr, with the time at which it began.")
    var verbose = false

    /// What was given after the command goes before what was given in front of it.
    func over(_ outer: GeneralOptions) -> GeneralOptions {
        var merged = self
        merged.connect = connect ?? outer.connect
        merged.stateDir = stateDir ?? outer.stateDir
        merged.config = config ?? outer.config
        merged.quiet = quiet || outer.quiet
        merged.verbose = verbose || outer.verbose
        return merged
    }

    var uri: HypervisorURI {
        get throws(Failure) {
            let wanted = getenv("LIBVIRT_DEFAULT_URI").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
            return try HypervisorURI(
                connect ?? wanted ?? (geteuid() == 0 ? "qemu:///system" : "qemu:///session"))
        }
    }
}

struct OutputOptions: ParsableArguments {
    @Flag(help: "One JSON object on stdout, on errors too.")
    var json = false

    var output: Output { json ? .json : .text }

    /// By `--output`, where a command has that as well.
    func output(_ shape: OutputShape?) -> Output {
        switch shape {
        case nil: output
        case .env: .env
        case .json: .json
        }
    }
}

enum OutputShape: String, ExpressibleByArgument, CaseIterable { case env, json }

/// The guest, as virsh's users name it: an argument or `--domain`.
struct DomainArgument: ParsableArguments {
    @Argument(help: "Name, id or UUID.")
    var domain: String?

    @Option(name: .customLong("domain"), help: .hidden)
    var named: String?

    func validate() throws {
        if domain != nil, named != nil { throw ValidationError("the domain is named twice") }
    }

    /// Nil where none is named.
    var given: String? { named ?? domain }

    var reference: String {
        get throws(Failure) { try demanded(given) }
    }
}

/// For commands of DOMAIN and NAME: virsh's options that say the same.
struct VirshWords: ParsableArguments {
    @Option(name: .customLong("domain"), help: .hidden)
    var domain: String?

    @Option(name: .customLong("snapshotname"), help: .hidden)
    var snapshot: String?

    /// Both, from these arguments in their order. Where an option names one, the arguments after it move up.
    func sort(_ words: [String?]) throws(ValidationError) -> (domain: String?, name: String?) {
        var words = words.compactMap(\.self)[...]
        let found = (domain: domain ?? words.popFirst(), name: snapshot ?? words.popFirst())
        guard words.isEmpty else { throw ValidationError("the domain or the snapshot is named twice") }
        return found
    }
}

/// The domain that a command cannot do without.
func demanded(_ domain: String?) throws(Failure) -> String {
    guard let domain else { throw Failure(.usage, "no domain is named", hint: "stillpoint list") }
    return domain
}
