// SPDX-License-Identifier: Apache-2.0

/// Freeze, cut, thaw, and nothing else: no log, no file, no fsync. Whatever happens in between, the thaw is sent.
struct Window {
    struct Result: Sendable {
        var opened: ContinuousClock.Instant
        var frozenAt: ContinuousClock.Instant?
        var cutDone: ContinuousClock.Instant?
        var thawSent: ContinuousClock.Instant?
        var closed: ContinuousClock.Instant
        var frozen: Int?
        var thaw: Thaw.Outcome?
        var freezeFailure: GuestFailure?
        /// Whether the cut was sent, and how its call ended; a failure leaves open whether the disks moved.
        var cut: Cut = .notSent
        /// The host's clock in the middle of the transaction.
        var cutAt: Timestamp?

        var length: Duration { opened.duration(to: closed) }
        var thawed: Int? { if case .thawed(let count) = thaw { count } else { nil } }
    }

    enum Cut: Sendable { case notSent, done, failed(Failure) }

    let plan: MemberPlan
    let name: SnapshotName
    /// Without one it freezes and thaws.
    let cuts: Bool
    let hypervisor: any Hypervisor
    let guest: any GuestControl
    let time: any Time
    let interruption: Interruption
    /// Hears of the memory that is written; nothing where something is frozen.
    var tell: @Sendable (RunEvent) -> Void = { _ in }

    /// Runs to its end whatever becomes of the task that asked: a cancelled wait would let the thaw overtake the cut.
    func pass() async -> Result {
        await Task { await freezeCutThaw() }.value
    }

    private func freezeCutThaw() async -> Result {
        let opened = time.now
        let deadline = opened + plan.maxFreeze
        var result = Result(opened: opened, closed: opened)
        guard plan.freezes else {
            await cut(into: &result, until: nil)
            result.closed = time.now
            return result
        }
        do throws(GuestFailure) {
            // A second less than the window, so that a freeze which hangs leaves time to ask for the thaw.
            let limit = max(.seconds(1), plan.maxFreeze - .seconds(1))
            result.frozen = try await guest.freeze(plan.frozen.map(\.mountpoint), timeout: limit)
            result.frozenAt = time.now
        } catch {
            result.freezeFailure = error
        }
        if result.freezeFailure?.kind == .alreadyFrozen {
            result.closed = time.now
            return result
        }
        if cuts, result.freezeFailure == nil, interruption.status == nil, time.now < deadline {
            await cut(into: &result, until: deadline)
        } else {
            await thaw(into: &result)
        }
        return result
    }

    /// Sends the cut and thaws when it is done or at the deadline, whichever comes first.
    private func cut(into result: inout Result, until deadline: ContinuousClock.Instant?) async {
        let before = time.wall
        let call = Task {
            [plan, name, hypervisor, time, interruption, tell] () -> (Cut, ContinuousClock.Instant, Timestamp) in
            do throws(Failure) {
                try await hypervisor.cut(plan, named: name, interruption: interruption) { tell(.saving($0)) }
                return (.done, time.now, time.wall)
            } catch {
                return (.failed(error), time.now, time.wall)
            }
        }
        if let deadline {
            await first(of: call, or: deadline)
            await thaw(into: &result)
        }
        let (outcome, done, after) = await call.value
        result.cut = outcome
        result.cutDone = done
        // With the memory the cut is the last that happens.
        let middle = (after.milliseconds - before.milliseconds) / 2
        result.cutAt = plan.method.memoryFile == nil ? before.adding(milliseconds: middle) : after
    }

    /// Returns at whichever comes first and leaves the call running: a task group would wait for it.
    private func first<T: Sendable>(of call: Task<T, Never>, or deadline: ContinuousClock.Instant) async {
        let (news, sender) = AsyncStream<Void>.makeStream()
        let watcher = Task {
            _ = await call.value
            sender.yield()
        }
        let timer = Task { [time] in
            await time.sleep(until: deadline)
            sender.yield()
        }
        for await _ in news { break }
        timer.cancel()
        watcher.cancel()
    }

    private func thaw(into result: inout Result) async {
        result.thawSent = time.now
        result.thaw = await Thaw(guest: guest, time: time, interruption: interruption).untilProved()
        result.closed = time.now
    }
}
