// SPDX-License-Identifier: Apache-2.0

import GuestAgent
public import Quiesce

/// What the configuration says of one hook, before anybody has looked for the hook.
struct HookWords: Sendable, Hashable {
    struct Parameter: Sendable, Hashable {
        var key: String
        var value: String
        var spot: String
    }

    var name: String
    /// `config.yaml line 12`
    var place: String
    /// `/etc/stillpoint/config.yaml:12:9`
    var spot: String
    var policy: HookPolicy?
    var timeout: Duration?
    var parameters: [Parameter] = []

    var instance: String? { parameters.first { $0.key == "instance" }?.value }

    func choice(from catalogue: HookCatalogue, timeout standard: Duration) throws(Failure) -> HookChoice {
        let hook = try catalogue.hook(name, place: spot, else: .configuration)
        if let odd = parameters.first(where: { !hook.parameters.contains($0.key) }) {
            let known = (hook.parameters + HookHeader.reserved).sorted().joined(separator: " ")
            throw Failure(
                .configuration, "\(odd.spot): \(name) has no parameter \(odd.key.printable(limit: 64))",
                hint: "known here: \(known)")
        }
        return HookChoice(
            hook, parameters: Dictionary(parameters.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 }), place: place,
            policy: policy, timeout: timeout ?? standard)
    }
}

extension Settings {
    /// The hooks of one guest in the order in which they take their locks: those it names, or all there are, to be tried.
    ///
    /// - Parameter names: asked for on the command line, these alone; what the configuration says of them holds.
    public func hooks(
        of guest: String, named names: [String] = [], from catalogue: HookCatalogue
    ) throws(Failure) -> [HookChoice] {
        let words = self.guest(guest)
        let timeout = words.hookTimeout ?? HookChoice.standardTimeout
        var configured: [HookChoice] = []
        for hook in words.hooks ?? [] { configured.append(try hook.choice(from: catalogue, timeout: timeout)) }
        if names.isEmpty {
            return words.hooks == nil ? catalogue.hooks.map { HookChoice($0, timeout: timeout) } : configured
        }
        var chosen: [HookChoice] = []
        for name in names where !chosen.contains(where: { $0.hook.name == name }) {
            let hook = try catalogue.hook(name, place: "--hook", else: .usage)
            let own = configured.filter { $0.hook.name == name }
            chosen += own.isEmpty ? [HookChoice(hook, place: "--hook", timeout: timeout)] : own
        }
        return chosen
    }

    /// Everything that can be wrong with it, for every guest that it names.
    public func check(with catalogue: HookCatalogue) throws(Failure) {
        for name in guestNames { _ = try hooks(of: name, from: catalogue) }
    }
}
