// SPDX-License-Identifier: Apache-2.0

import Quiesce

/// A host whose one clone does what the script says.
struct ScriptedCloneHost: CloneHost {
    let log: Log
    let time: ScriptedTime
    /// How long after its start the agent answers.
    var boots = Duration.seconds(40)
    /// One state a question; the last one is given for ever.
    var states: [CloneState] = [.running]
    /// After the start; nil for a system that cannot say so.
    var settles: Duration? = .seconds(60)
    /// What the probes find, and from when on.
    var found: [(after: Duration, facts: ApplicationFacts)] = []
    /// How `verify` ends, by hook: one answer a call, the last one for ever.
    var verifies: [String: [HookResult]] = [:]

    func sweep() async throws(Failure) -> [String] {
        try log.answer(.cloneSweep)
        return []
    }

    func plan(_ snapshot: MemberReport.Snapshot, of run: RunID, halvingMemory: Bool) async throws(Failure) -> ClonePlan
    {
        ClonePlan(
            id: run, guest: GuestIdentity(name: "db01", uuid: "u", uri: "qemu:///system"), name: "db01-verify",
            uuid: "v",
            folder: "/var/tmp/c", disks: snapshot.disks, dropped: ["interface network default"],
            memoryKiB: halvingMemory ? 512 : 1024, definition: "<domain/>")
    }

    func start(_ plan: ClonePlan, keeping: Bool) async throws(Failure) -> any Clone {
        try log.answer(.cloneStart, keeping ? "keeping" : "")
        return ScriptedClone(host: self, begin: time.elapsed)
    }
}

struct ScriptedClone: Clone {
    let host: ScriptedCloneHost
    let begin: Duration

    private var age: Duration { host.time.elapsed - begin }

    func state() async -> CloneState {
        let asked = host.log.count(.cloneState)
        host.log.hear(.cloneState)
        return host.states[min(asked, host.states.count - 1)]
    }

    func answers() async -> Bool { age >= host.boots }

    func start() async -> CloneStart {
        guard let settles = host.settles else { return .unknown }
        return age >= settles ? .settled : .underWay(["mariadb.service"])
    }

    func applications(_ choices: [HookChoice]) async -> [ApplicationFacts] {
        host.found.filter { age >= $0.after }.map(\.facts)
    }

    func run(_ call: HookCall, within limit: Duration) async -> HookResult {
        let answers =
            host.verifies[call.hook.name] ?? [.done(HookReply(position: call.recorded, whole: true, detail: "well"))]
        let before = host.log.details(of: .cloneVerify).count { $0 == call.hook.name }
        host.log.hear(.cloneVerify, call.hook.name)
        host.time.advance(by: .seconds(2))
        return answers[min(before, answers.count - 1)]
    }

    func console() async -> [String] { ["Kernel panic - not syncing"] }
    func remove() async throws(Failure) { try host.log.answer(.cloneRemove) }
    func keep() async throws(Failure) { try host.log.answer(.cloneKeep) }
}
