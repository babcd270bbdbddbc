// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Quiesce

/// A constant POSIX sh text that runs in the guest; what varies comes as arguments, never as text of the script.
struct GuestScript {
    let text: String

    /// Read whole before it runs: a script run by `sh -s` is eaten by the first child that reads stdin, and then ends
    /// with success (measured).
    private static let reader = #"s=$(cat) && exec </dev/null && eval "$s""#

    func command(_ arguments: [String] = []) -> GuestCommand {
        GuestCommand("/bin/sh", arguments: ["-c", Self.reader, "stillpoint"] + arguments, input: Array(text.utf8))
    }

    /// Its standard output. Anything but a clean exit that is known to have happened is a failure.
    func run(
        _ arguments: [String] = [], on agent: GuestAgent, within limit: Duration
    ) async throws(GuestFailure) -> String {
        try await Self.run(command(arguments), on: agent, within: limit)
    }

    static func run(
        _ command: GuestCommand, on agent: GuestAgent, within limit: Duration
    ) async throws(GuestFailure) -> String {
        let outcome: ExecOutcome
        do throws(AgentError) {
            outcome = try await agent.exec(command, deadline: .now + limit)
        } catch {
            throw GuestFailure(error)
        }
        switch outcome {
        case .finished(let result):
            guard result.succeeded else {
                let last = result.stderr.text?.split(separator: "\n").last.map { $0.printable(limit: 200) } ?? ""
                throw GuestFailure(.refused, "the script in the guest ended with \(result.exit): \(last)")
            }
            guard let text = result.stdout.text, !result.stdout.isTruncated else {
                throw GuestFailure(.malformed, "the script in the guest wrote no readable answer")
            }
            return text
        case .unfinished: throw GuestFailure(.timedOut, "the script in the guest did not end within \(limit.forPeople)")
        case .lost(_, let error): throw GuestFailure(error)
        }
    }
}

extension GuestScript {
    /// `survey WORD…`: what the agent's own commands do not tell, one fact a line; and which of these commands, process
    /// names and files there are.
    static let survey = GuestScript(
        text: #"""
            say() { printf '%s\n' "$*"; }
            value() { v=; [ -r "$1" ] && read -r v <"$1"; }
            [ -d /run/systemd/system ] && say systemd
            value /sys/kernel/rcu_normal && say "rcu_normal $v"
            value /sys/kernel/rcu_expedited && say "rcu_expedited $v"
            value /sys/devices/system/cpu/isolated && say "isolated $v"
            for b in /sys/class/block/*; do
                n=${b##*/}
                cd -P "$b" 2>/dev/null || continue
                p=$PWD
                if [ -e "$b/partition" ]; then
                    d=${p%/*}
                    say "part $n ${d##*/}"
                elif [ -d "$b/device" ]; then
                    value "$b/serial"
                    say "disk $n $p $v"
                else
                    for s in "$b"/slaves/*; do [ -e "$s" ] && say "slave $n ${s##*/}"; done
                    value "$b/dm/uuid"
                    case $v in LVM-*) say "lvm $n $v" ;; esac
                fi
            done
            z=
            while read -r _ _ _ _ m o t; do
                case ,$o, in *,ro,*) say "ro $m" ;; esac
                t=" $t"
                t=${t#* - }
                case ${t%% *} in
                    zfs) z=1 ;;
                    nfs* | cifs | smb3 | ceph | 9p | virtiofs | tmpfs | ramfs | fuse.* | lustre | gpfs | afs) ;;
                    *) continue ;;
                esac
                say "other ${t%% *} $m"
            done </proc/self/mountinfo
            [ -n "$z" ] && blkid -t TYPE=zfs_member -o device 2>/dev/null | while read -r d; do say "zfs ${d##*/}"; done
            n='
            '
            p=$n
            for f in /proc/[0-9]*/comm; do
                { read -r c <"$f"; } 2>/dev/null && p=$p$c$n
            done
            for w; do
                # The kernel keeps 15 characters of a process's name.
                r=${w#???????????????}
                [ "$r" = "$w" ] && c=$w || c=${w%"$r"}
                case $w$p in
                    /*) [ -e "$w" ] && say "has $w" ;;
                    *"$n$c$n"*) say "has $w" ;;
                    *) command -v "$w" >/dev/null && say "has $w" ;;
                esac
            done
            # As udev links physical volumes: where there are none, asking LVM would take longer than all the rest.
            set -- /dev/disk/by-id/lvm-pv-uuid-*
            if { [ -e "$1" ] || [ ! -d /run/udev ]; } && command -v pvs >/dev/null 2>&1; then
                pvs --noheadings --separator ' ' -o pv_name,vg_uuid,vg_name 2>/dev/null | while read -r d u g; do
                    [ -n "$g" ] && say "pv ${d##*/} $u $g"
                done
            fi
            say end
            """#)

    /// The bulk of it; ``steady`` takes what was written meanwhile, so that the freeze finds little left. Four to a process:
    /// one for each takes three times as long where processes are dear (16 filesystems on TCG, measured).
    static let sync = GuestScript(
        text: #"""
            while [ "$#" -gt 4 ]; do
                sync -f "$1" "$2" "$3" "$4" 2>/dev/null &
                shift 4
            done
            sync -f "$@" 2>/dev/null &
            wait
            """#)
}
