// SPDX-License-Identifier: Apache-2.0

/// Thaws until a thaw reply proves it. A freeze that was sent is a freeze until then: the agent answers in order, so a
/// thaw reply also proves that no earlier freeze is still waiting there. One that waits in libvirtd, behind another client, has
/// not come to the agent: the run never leaves one there, as its own thaw waits behind it, and after a run that died the
/// guardian and the dead-man go on until it has come.
public struct Thaw: Sendable {
    /// How long to go on asking before the guest is given up as possibly frozen.
    public static let patience = Duration.seconds(120)
    private static let impatience = Duration.seconds(15)
    private static let attempt = Duration.seconds(5)

    let guest: any GuestControl
    let time: any Time
    let interruption: Interruption

    public init(guest: any GuestControl, time: any Time, interruption: Interruption) {
        self.guest = guest
        self.time = time
        self.interruption = interruption
    }

    public enum Outcome: Sendable, Hashable {
        /// The guest's count of what it thawed.
        case thawed(Int)
        case unproved(GuestFailure)
    }

    /// Goes on when the caller's task is cancelled.
    public func untilProved() async -> Outcome {
        await Task { await ask() }.value
    }

    private func ask() async -> Outcome {
        let begin = time.now
        var pause = Duration.milliseconds(250)
        while true {
            do throws(GuestFailure) {
                return .thawed(try await guest.thaw(timeout: Self.attempt))
            } catch {
                let patience = interruption.isImpatient ? Self.impatience : Self.patience
                if begin.duration(to: time.now) >= patience { return .unproved(error) }
            }
            await time.sleep(until: time.now + pause)
            pause = min(pause * 2, .seconds(2))
        }
    }
}

extension GuestControl {
    /// Thaws what no thaw of the agent's finds, because it was unmounted or mounted over inside the window; what became of it.
    func thawRest() async -> String {
        do throws(GuestFailure) {
            try await thawAll()
            return "the guest's kernel was told to thaw whatever is frozen (sysrq j)"
        } catch {
            return
                "a filesystem may still be frozen (\(error.cause)): as root in the guest   echo j > /proc/sysrq-trigger"
        }
    }
}
