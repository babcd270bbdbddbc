// SPDX-License-Identifier: Apache-2.0

import Quiesce

// Every port on its way into a run; in a build with failpoints something can happen before and after each of its calls.

extension Hypervisor {
    var withFailpoints: any Hypervisor {
        #if FAILPOINTS
        FailingHypervisor(port: self)
        #else
        self
        #endif
    }
}

extension GuestControl {
    var withFailpoints: any GuestControl {
        #if FAILPOINTS
        FailingGuest(port: self)
        #else
        self
        #endif
    }
}

extension Guardian {
    var withFailpoints: any Guardian {
        #if FAILPOINTS
        FailingGuardian(port: self)
        #else
        self
        #endif
    }
}

extension ImageStore {
    var withFailpoints: any ImageStore {
        #if FAILPOINTS
        FailingImages(port: self)
        #else
        self
        #endif
    }
}

extension Ledger {
    var journalWithFailpoints: any Journal {
        #if FAILPOINTS
        FailingJournal(port: self)
        #else
        self
        #endif
    }

    var catalogueWithFailpoints: any Catalogue {
        #if FAILPOINTS
        FailingCatalogue(port: self)
        #else
        self
        #endif
    }
}

#if FAILPOINTS
private func broken(_ why: String) -> Failure { Failure(.internalError, why) }
private func unanswered(_ why: String) -> GuestFailure { GuestFailure(.timedOut, why) }

private struct FailingHypervisor: Hypervisor {
    let port: any Hypervisor

    func observe(alsoFolders folders: [String], probing hooks: [HookChoice]) async throws(Failure) -> GuestFacts {
        try await Failpoint.around("hypervisor.observe", broken) { () async throws(Failure) in
            try await port.observe(alsoFolders: folders, probing: hooks)
        }
    }

    func look(for images: [String]) async throws(Failure) -> GuestFacts {
        try await Failpoint.around("hypervisor.look", broken) { () async throws(Failure) in
            try await port.look(for: images)
        }
    }

    func disks() async throws(Failure) -> [DiskFacts] {
        try await Failpoint.around("hypervisor.disks", broken) { () async throws(Failure) in try await port.disks() }
    }

    func cut(
        _ disks: [MemberPlan.Disk], leaving others: [DiskTarget], named name: SnapshotName
    ) async throws(Failure) {
        try await Failpoint.around("hypervisor.cut", broken) { () async throws(Failure) in
            try await port.cut(disks, leaving: others, named: name)
        }
    }

    func cut(
        _ order: CutOrder, withMemoryIn file: String, interruption: Interruption,
        progress: @escaping @Sendable (MemoryProgress) -> Void
    ) async throws(Failure) {
        try await Failpoint.around("hypervisor.cutWithMemory", broken) { () async throws(Failure) in
            try await port.cut(order, withMemoryIn: file, interruption: interruption, progress: progress)
        }
    }

    func cutInside(_ order: CutOrder) async throws(Failure) {
        try await Failpoint.around("hypervisor.cutInside", broken) { () async throws(Failure) in
            try await port.cutInside(order)
        }
    }

    func removeInside(_ name: SnapshotName) async throws(Failure) {
        try await Failpoint.around("hypervisor.removeInside", broken) { () async throws(Failure) in
            try await port.removeInside(name)
        }
    }

    func shutDown(within limit: Duration, interruption: Interruption) async throws(Failure) -> StopReason {
        try await Failpoint.around("hypervisor.shutDown", broken) { () async throws(Failure) in
            try await port.shutDown(within: limit, interruption: interruption)
        }
    }

    func start() async throws(Failure) {
        try await Failpoint.around("hypervisor.start", broken) { () async throws(Failure) in try await port.start() }
    }

    func point(_ moves: [Repointing]) async throws(Failure) {
        try await Failpoint.around("hypervisor.point", broken) { () async throws(Failure) in
            try await port.point(moves)
        }
    }

    func restore(_ definition: String, from images: [String]) async throws(Failure) {
        try await Failpoint.around("hypervisor.restore", broken) { () async throws(Failure) in
            try await port.restore(definition, from: images)
        }
    }

    func definition() async throws(Failure) -> String {
        try await Failpoint.around("hypervisor.definition", broken) { () async throws(Failure) in
            try await port.definition()
        }
    }

    func definition(naming images: [DiskTarget: ImageLayer]) async throws(Failure) -> String {
        try await Failpoint.around("hypervisor.definitionNaming", broken) { () async throws(Failure) in
            try await port.definition(naming: images)
        }
    }

    func define(naming images: [DiskTarget: ImageLayer]) async throws(Failure) {
        try await Failpoint.around("hypervisor.define", broken) { () async throws(Failure) in
            try await port.define(naming: images)
        }
    }

    func saveAgain() async throws(Failure) {
        try await Failpoint.around("hypervisor.saveAgain", broken) { () async throws(Failure) in
            try await port.saveAgain()
        }
    }

    func register(_ registration: Registration) async throws(Failure) {
        try await Failpoint.around("hypervisor.register", broken) { () async throws(Failure) in
            try await port.register(registration)
        }
    }

    func unregister(_ name: SnapshotName) async throws(Failure) {
        try await Failpoint.around("hypervisor.unregister", broken) { () async throws(Failure) in
            try await port.unregister(name)
        }
    }

    func merge(
        _ disks: [Merge], options: MergeOptions, progress: @escaping @Sendable (MergeProgress) -> Void
    ) async throws(Failure) {
        try await Failpoint.around("hypervisor.merge", broken) { () async throws(Failure) in
            try await port.merge(disks, options: options, progress: progress)
        }
    }
}

private struct FailingGuest: GuestControl {
    let port: any GuestControl

    func prepareRescue() async throws(Failure) {
        try await Failpoint.around("guest.prepareRescue", broken) { () async throws(Failure) in
            try await port.prepareRescue()
        }
    }

    func clockOffset() async throws(GuestFailure) -> ClockOffset {
        try await Failpoint.around("guest.clockOffset", unanswered) { () async throws(GuestFailure) in
            try await port.clockOffset()
        }
    }

    func sync(_ mountpoints: [String], within limit: Duration) async throws(GuestFailure) {
        try await Failpoint.around("guest.sync", unanswered) { () async throws(GuestFailure) in
            try await port.sync(mountpoints, within: limit)
        }
    }

    func arm(
        _ mountpoints: [String], longStop: Duration, expedites: Bool
    ) async throws(GuestFailure) -> DeadMan {
        try await Failpoint.around("guest.arm", unanswered) { () async throws(GuestFailure) in
            try await port.arm(mountpoints, longStop: longStop, expedites: expedites)
        }
    }

    func steady(_ words: LastWords) async throws(GuestFailure) {
        try await Failpoint.around("guest.steady", unanswered) { () async throws(GuestFailure) in
            try await port.steady(words)
        }
    }

    func disarm(_ run: RunID) async throws(GuestFailure) -> String? {
        try await Failpoint.around("guest.disarm", unanswered) { () async throws(GuestFailure) in
            try await port.disarm(run)
        }
    }

    func run(_ call: HookCall, within limit: Duration) async -> HookResult {
        let name = "hook.\(call.hook.name).\(call.verb.rawValue)"
        if Failpoint.pass(name, .before) { return .unknown("failpoint before \(name)") }
        let result = await port.run(call, within: limit)
        return Failpoint.pass(name, .after) ? .unknown("failpoint after \(name)") : result
    }

    func standBy(_ turns: [HookTurn]) async {
        if Failpoint.pass("guest.standBy", .before) { return }
        await port.standBy(turns)
        _ = Failpoint.pass("guest.standBy", .after)
    }

    func runInTurn(_ turn: HookTurn) async {
        let name = "guest.turn.\(turn.calls.first?.verb.rawValue ?? "none")"
        if Failpoint.pass(name, .before) { return }
        await port.runInTurn(turn)
        _ = Failpoint.pass(name, .after)
    }

    func tidy(_ run: RunID) async throws(GuestFailure) {
        try await Failpoint.around("guest.tidy", unanswered) { () async throws(GuestFailure) in
            try await port.tidy(run)
        }
    }

    func freeze(_ mountpoints: [String], timeout: Duration) async throws(GuestFailure) -> Int {
        try await Failpoint.around("guest.freeze", unanswered) { () async throws(GuestFailure) in
            try await port.freeze(mountpoints, timeout: timeout)
        }
    }

    func thaw(timeout: Duration) async throws(GuestFailure) -> Int {
        try await Failpoint.around("guest.thaw", unanswered) { () async throws(GuestFailure) in
            try await port.thaw(timeout: timeout)
        }
    }
}

private struct FailingGuardian: Guardian {
    let port: any Guardian

    func stand() async throws(Failure) {
        try await Failpoint.around("guardian.stand", broken) { () async throws(Failure) in try await port.stand() }
    }

    func arm(_ limit: Duration) throws(Failure) {
        try Failpoint.around(call: "guardian.arm", broken) { () throws(Failure) in try port.arm(limit) }
    }

    func dismiss() {
        _ = Failpoint.pass("guardian.dismiss", .before, canFail: false)
        port.dismiss()
        _ = Failpoint.pass("guardian.dismiss", .after, canFail: false)
    }

    func lastWord() async -> String? {
        await Failpoint.around("guardian.lastWord") { await port.lastWord() }
    }
}

private struct FailingImages: ImageStore {
    let port: any ImageStore

    func obstacles(to disks: [MemberPlan.Disk]) async -> [Finding] {
        await Failpoint.around("images.obstacles") { await port.obstacles(to: disks) }
    }

    func stage(_ disks: [MemberPlan.Disk]) async throws(Failure) {
        try await Failpoint.around("images.stage", broken) { () async throws(Failure) in
            try await port.stage(disks)
        }
    }

    func discard(_ overlays: [String]) async {
        await Failpoint.around("images.discard") { await port.discard(overlays) }
    }

    func remove(_ overlays: [String], of run: RunID) async throws(Failure) {
        try await Failpoint.around("images.remove", broken) { () async throws(Failure) in
            try await port.remove(overlays, of: run)
        }
    }

    func withdraw(_ disk: MemberPlan.Disk, of run: RunID) async throws(Failure) -> Bool {
        try await Failpoint.around("images.withdraw", broken) { () async throws(Failure) in
            try await port.withdraw(disk, of: run)
        }
    }

    func chain(of image: ImageLayer) async throws(Failure) -> [ImageLayer] {
        try await Failpoint.around("images.chain", broken) { () async throws(Failure) in
            try await port.chain(of: image)
        }
    }

    func obstacles(to file: String, beside image: String) async -> [Finding] {
        await Failpoint.around("images.obstaclesToFile") { await port.obstacles(to: file, beside: image) }
    }

    func reserve(_ file: String, beside image: String) async throws(Failure) {
        try await Failpoint.around("images.reserve", broken) { () async throws(Failure) in
            try await port.reserve(file, beside: image)
        }
    }

    func seal(_ file: String) async throws(Failure) -> Int64 {
        try await Failpoint.around("images.seal", broken) { () async throws(Failure) in try await port.seal(file) }
    }

    func contents(of file: String) async throws(Failure) -> [UInt8] {
        try await Failpoint.around("images.contents", broken) { () async throws(Failure) in
            try await port.contents(of: file)
        }
    }

    func overwrite(_ file: String, with bytes: [UInt8]) async throws(Failure) {
        try await Failpoint.around("images.overwrite", broken) { () async throws(Failure) in
            try await port.overwrite(file, with: bytes)
        }
    }

    func sha256(of bytes: [UInt8]) -> String { port.sha256(of: bytes) }

    func checkWhole(_ disk: MemberReport.Disk) async throws(Failure) {
        try await Failpoint.around("images.checkWhole", broken) { () async throws(Failure) in
            try await port.checkWhole(disk)
        }
    }

    func check(_ disk: MemberReport.Disk, holds name: String) async throws(Failure) {
        try await Failpoint.around("images.checkInside", broken) { () async throws(Failure) in
            try await port.check(disk, holds: name)
        }
    }

    func check(_ disk: MemberPlan.Disk) async throws(Failure) {
        try await Failpoint.around("images.check", broken) { () async throws(Failure) in try await port.check(disk) }
    }
}

private struct FailingJournal: Journal {
    let port: any Journal

    func open(
        _ run: RunID, for guest: GuestIdentity, named name: String, at time: Timestamp
    ) async throws(Failure) {
        try await Failpoint.around("journal.open", broken) { () async throws(Failure) in
            try await port.open(run, for: guest, named: name, at: time)
        }
    }

    func record(_ step: JournalStep, of run: RunID, at time: Timestamp) async throws(Failure) {
        // The case's own name: `staging(overlays: …)`.
        let name = "journal.\("\(step)".prefix { $0 != "(" })"
        try await Failpoint.around(name, broken) { () async throws(Failure) in
            try await port.record(step, of: run, at: time)
        }
    }

    func close(_ run: RunID, _ ending: JournalEnding, at time: Timestamp) async throws(Failure) {
        try await Failpoint.around("journal.close", broken) { () async throws(Failure) in
            try await port.close(run, ending, at: time)
        }
    }

    func unfinished() async throws(Failure) -> [UnfinishedRun] {
        try await Failpoint.around("journal.unfinished", broken) { () async throws(Failure) in
            try await port.unfinished()
        }
    }
}

private struct FailingCatalogue: Catalogue {
    let port: any Catalogue

    func add(
        _ report: RunReport, definition: String, artifacts: [HookReply.Artifact]
    ) async throws(Failure) {
        try await Failpoint.around("catalogue.add", broken) { () async throws(Failure) in
            try await port.add(report, definition: definition, artifacts: artifacts)
        }
    }

    func entries(of guest: GuestIdentity?) async throws(Failure) -> [CatalogueEntry] {
        try await Failpoint.around("catalogue.entries", broken) { () async throws(Failure) in
            try await port.entries(of: guest)
        }
    }

    func manifest(of run: RunID) async throws(Failure) -> RunReport {
        try await Failpoint.around("catalogue.manifest", broken) { () async throws(Failure) in
            try await port.manifest(of: run)
        }
    }

    func uses(of guest: GuestIdentity?) async throws(Failure) -> [SnapshotUse] {
        try await Failpoint.around("catalogue.uses", broken) { () async throws(Failure) in
            try await port.uses(of: guest)
        }
    }

    func mark(_ run: RunID, _ fate: CatalogueEntry.Fate) async throws(Failure) {
        try await Failpoint.around("catalogue.mark", broken) { () async throws(Failure) in
            try await port.mark(run, fate)
        }
    }
}
#endif
