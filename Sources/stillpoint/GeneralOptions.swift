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
            let set = connect ?? getenv("LIBVIRT_DEFAULT_URI").map { String(cString: $0) }
            return try HypervisorURI(set ?? (geteuid() == 0 ? "qemu:///system" : "qemu:///session"))
        }
    }
}

struct OutputOptions: ParsableArguments {
    @Flag(help: "One JSON object on stdout, on errors too.")
    var json = false

    var output: Output { json ? .json : .text }

    /// By `--output`, where a command has that as well.
    func output(named name: String?) throws(Failure) -> Output {
        switch name {
        case nil: output
        case "env": .env
        case "json": .json
        case let other?: throw Failure(.usage, "--output is env or json, not '\(other)'")
        }
    }
}

/// The guest, as virsh's users name it: an argument or `--domain`.
struct DomainArgument: ParsableArguments {
    @Argument(help: "Name, id or UUID.")
    var domain: String?

    @Option(name: .customLong("domain"), help: .hidden)
    var named: String?

    var reference: String {
        get throws(Failure) {
            switch (domain, named) {
            case (let name?, nil), (nil, let name?): return name
            case (nil, nil): throw Failure(.usage, "no domain is named", hint: "stillpoint list")
            case (_?, _?): throw Failure(.usage, "the domain is named twice")
            }
        }
    }
}
