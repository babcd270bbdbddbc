// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import JSON
import Quiesce

/// Asks the hooks what of theirs is in the guest.
struct HookProbe: Sendable {
    let agent: GuestAgent
    let domain: String

    /// In the choices' order. An application that is absent is left out unless somebody asked for it.
    ///
    /// - Parameter present: what of the words that the hooks look for is there; nil if nobody could look.
    func applications(_ choices: [HookChoice], present: Set<String>?) async -> [ApplicationFacts] {
        let worthwhile = choices.indices.filter { Self.isWorthACall(choices[$0], present) }
        guard !worthwhile.isEmpty else { return [] }
        let runner = HookRunner(agent: agent, run: .random(), domain: domain, time: SystemTime())
        // Once, before they all want it; if it fails each of them says why.
        try? await runner.put()
        let found = await withTaskGroup(of: (Int, [ApplicationFacts]).self) { group in
            for index in worthwhile { group.addTask { (index, await probe(choices[index], runner)) } }
            return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
        try? await runner.tidy()
        return choices.indices.flatMap { index in
            let choice = choices[index]
            return (found[index] ?? []).filter { choice.place != nil || $0.state != .absent }
        }
    }

    /// One that somebody asked for says itself that it is not there.
    private static func isWorthACall(_ choice: HookChoice, _ present: Set<String>?) -> Bool {
        if choice.place != nil { return true }
        guard let present else { return false }
        return choice.hook.looksFor.isEmpty || !present.isDisjoint(with: choice.hook.looksFor)
    }

    private func probe(_ choice: HookChoice, _ runner: HookRunner) async -> [ApplicationFacts] {
        let limit = choice.timeout
        let call = HookCall(.probe, of: choice.hook, parameters: choice.parameters)
        let ending = await runner.ending(of: call, within: limit)
        if case .ended(0, let output, _) = ending {
            do throws(HookAnswer.Oddity) {
                return try ApplicationFacts.read(try HookAnswer(output), choice)
            } catch {
                return [ApplicationFacts(choice, state: .unclear("its answer \(error.text)"))]
            }
        }
        switch ending.result(within: limit, HookReply.init) {
        case .denied(let why): return [ApplicationFacts(choice, state: .denied(why))]
        case .busy(let why), .failed(let why), .unstarted(let why), .unknown(let why):
            return [ApplicationFacts(choice, state: .unclear(why))]
        case .done: return [ApplicationFacts(choice, state: .absent)]
        }
    }
}

extension ApplicationFacts {
    private static let known: Set = ["state", "role", "version", "paths", "denied"]

    static func read(_ answer: HookAnswer, _ choice: HookChoice) throws(HookAnswer.Oddity) -> [ApplicationFacts] {
        guard let list = try answer.list("instances") else {
            // Where there is one alone it needs no name.
            try answer.only(known.union(["name"]))
            return [try one(answer, choice, named: nil)]
        }
        try answer.only(["instances"])
        var instances: [ApplicationFacts] = []
        for value in list {
            let answer = try HookAnswer(value, at: "instances[]")
            try answer.only(known.union(["name"]))
            guard let name = try answer.exact("name", atMost: 128), !name.isEmpty else {
                throw HookAnswer.Oddity(text: "has an instance without a name")
            }
            guard !instances.contains(where: { $0.instance == name }) else {
                throw HookAnswer.Oddity(text: "has two instances named \(name)")
            }
            instances.append(try one(answer, choice, named: name))
        }
        if let wanted = choice.parameters["instance"] { instances.removeAll { $0.instance != wanted } }
        return instances.isEmpty ? [ApplicationFacts(choice, state: .absent)] : instances
    }

    private static func one(
        _ answer: HookAnswer, _ choice: HookChoice, named instance: String?
    ) throws(HookAnswer.Oddity) -> ApplicationFacts {
        let state: State
        switch try answer.exact("state", atMost: 32) {
        case "absent": state = .absent
        case "stopped": state = .stopped
        case "running": state = .running
        case "recovering": state = .recovering
        case nil: throw HookAnswer.Oddity(text: "has no state")
        case let other?: throw HookAnswer.Oddity(text: "has an unknown state \(other)")
        }
        var role: Role?
        if let word = try answer.exact("role", atMost: 32) {
            guard let known = Role(rawValue: word) else {
                throw HookAnswer.Oddity(text: "has an unknown role \(word)")
            }
            role = known
        }
        let paths = try answer.texts("paths") ?? []
        if let odd = paths.first(where: { !$0.hasPrefix("/") }) {
            throw HookAnswer.Oddity(text: "has a path \(odd.printable(limit: 64)) that is not absolute")
        }
        let denied = try answer.words("denied")
        return ApplicationFacts(
            choice, instance: instance, state: denied.map { .denied($0) } ?? state, role: role,
            version: try answer.words("version"), paths: paths)
    }
}
