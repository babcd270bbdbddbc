// SPDX-License-Identifier: Apache-2.0

/// Decides the level after the thaw, from what was proved. Every reason names what was missing.
struct Judgement {
    let plan: MemberPlan
    let request: SnapshotRequest
    let window: Window.Result
    let hooks: [HookStack.Entry]

    /// Assumes that the disks were cut in one transaction.
    var verdict: Verdict {
        let prepares = plan.applications.contains(where: \.isRequired)
        var verdict = Verdict(consistency: prepares ? .application : .filesystem)
        for finding in plan.findings {
            if case .limits(let level) = finding.weight { verdict.lower(to: level, because: finding.text) }
        }
        guard plan.freezes else {
            if plan.method.memoryFile != nil {
                verdict.lower(
                    to: .crash,
                    because:
                        "not frozen: with its memory the guest goes on where it was; its disks alone are crash-consistent"
                )
            } else if !request.freezes {
                verdict.lower(to: .crash, because: "not frozen: --no-freeze")
            }
            return verdict
        }
        judgeCounts(&verdict)
        judgeTimes(&verdict)
        judgeApplications(&verdict)
        return verdict
    }

    private func judgeApplications(_ verdict: inout Verdict) {
        for entry in hooks {
            if entry.application.isRequired, let failure = entry.failure {
                verdict.lower(to: .filesystem, because: "\(entry.application.label): \(failure)")
            }
            if let why = entry.leftBehind(plan.maxHold) {
                if entry.application.isRequired {
                    verdict.lower(to: .filesystem, because: why)
                } else {
                    verdict.reasons.append(why)
                }
            }
        }
    }

    private func judgeCounts(_ verdict: inout Verdict) {
        let expected = plan.frozen.count
        guard let frozen = window.frozen, let thawed = window.thawed else {
            verdict.lower(to: .crash, because: "the guest did not confirm both the freeze and the thaw")
            return
        }
        if frozen < expected {
            verdict.lower(to: .crash, because: "\(frozen.of("filesystem")) frozen of \(expected) expected")
        } else if frozen > expected {
            verdict.lower(
                to: .crash,
                because: "\(frozen.of("filesystem")) frozen, but \(expected) expected: the plan does not fit the guest")
        }
        if thawed < frozen {
            verdict.lower(
                to: .crash,
                because:
                    "\(frozen.of("filesystem")) frozen, only \(thawed) thawed: the rest was thawed, unmounted or mounted over inside the window"
            )
        } else if thawed > frozen {
            verdict.lower(
                to: .crash,
                because: "\(frozen.of("filesystem")) frozen, but \(thawed) thawed: another's freeze was undone too")
        }
    }

    private func judgeTimes(_ verdict: inout Verdict) {
        if window.length > plan.maxFreeze {
            verdict.lower(
                to: .crash,
                because:
                    "the window took \(window.length.inMilliseconds) ms, and \(plan.maxFreeze.inMilliseconds) ms was allowed"
            )
        }
        if let done = window.cutDone, let sent = window.thawSent, done > sent {
            verdict.lower(to: .crash, because: "the cut ended after the thaw was sent")
        }
    }
}
