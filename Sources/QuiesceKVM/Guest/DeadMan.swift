// SPDX-License-Identifier: Apache-2.0

/// What ends a freeze from inside the guest when nobody outside can. Everything it needs is read or loaded before the
/// freeze, its state lies in `/run/stillpoint/<run>/`, and it writes to no other filesystem.
extension GuestScript {
    /// `arm RUN LONGSTOP EXPEDITES MOUNTPOINT…`: leaves a process behind that waits for a deadline, at most LONGSTOP
    /// seconds, and then thaws these. Remembers RCU's state where EXPEDITES is 1, to put it back. Writes `armed` where the
    /// process survives a restart of the agent, else `agentBound`; returns when it waits. The deadline may be set more than
    /// once: the last one counts.
    static let arm = GuestScript(
        text: #"""
            run=$1 stop=$2 expedites=$3
            shift 3
            d=/run/stillpoint/$run/deadman
            umask 077
            command -v fsfreeze >/dev/null && mkdir -p "$d" && rm -f "$d"/* && mkfifo "$d/deadline" || exit 1
            printf '%s\n' "$@" >"$d/mounts"
            [ "$expedites" = 1 ] && read -r old </sys/kernel/rcu_expedited && echo "$old" >"$d/rcu"
            # In a file: what systemd-run gets as an argument it expands.
            cat >"$d/script" <<'END'
            d=$1 stop=$2
            # Its words are understood below.
            export LC_ALL=C
            read -r me _ </proc/self/stat
            # In a busy guest what it has thawed wakes up beside what it has still to thaw (measured: with this, a third to
            # two thirds of the time).
            renice -n -10 "$me"
            # Once through everything that is run later, so that it is in memory.
            fsfreeze --version
            sleep 0
            # Held open, so that a word written before it is read is not lost.
            exec 3<>"$d/deadline"
            (sleep "$stop"; echo due 0 >&3) &
            # Called off before it could be found, or while it was looked for.
            echo "$me" >"$d/pid" && [ ! -e "$d/off" ] || kill 0
            # Seconds are a deadline, in place of the one before; `due N` says that the N-th has come.
            n=0
            while read -r word number <&3; do
                if [ "$word" != due ]; then
                    n=$((n + 1))
                    (sleep "$word"; echo "due $n" >&3) &
                elif [ "$number" = "$n" ]; then
                    break
                fi
            done
            # Until it is called off, and as long as a freeze that waits in libvirt (30 s) or in the agent can still begin.
            hard='' n=0
            while [ -e "$d/pid" ] && [ "$n" -lt 45 ]; do
                # All at once: one that hangs is not to keep the others, and a busy guest's other processors help.
                pids='' i=0
                while read -r m; do
                    i=$((i + 1))
                    fsfreeze -u "$m" 2>"$d/why.$i" &
                    pids="$pids $!"
                done <"$d/mounts"
                i=0
                for pid in $pids; do
                    i=$((i + 1))
                    if wait "$pid"; then
                        # Once: who calls it off must not read it between its emptying and its writing.
                        [ -s "$d/fired" ] || echo fired >"$d/fired"
                        continue
                    fi
                    # Not frozen (any more) is fine; anything else leaves the kernel's own way, which thaws all there is.
                    why=''
                    read -r why <"$d/why.$i"
                    case $why in *"Invalid argument"*) ;; *) hard=${hard:-1} ;; esac
                done
                if [ "$hard" = 1 ]; then
                    hard=done
                    echo sysrq >"$d/fired"
                    echo j >/proc/sysrq-trigger
                fi
                [ "$n" = 0 ] && [ -f "$d/rcu" ] && read -r old <"$d/rcu" && echo "$old" >/sys/kernel/rcu_expedited
                n=$((n + 1))
                sleep 1
            done
            END
            word=agentBound
            if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null && systemd-run --quiet --collect \
                --unit="stillpoint-$run-deadman" -p StandardInput=null -p StandardOutput=null -p StandardError=null \
                -p OOMScoreAdjust=-999 -- /bin/sh "$d/script" "$d" "$stop"; then
                word=armed
            else
                setsid /bin/sh "$d/script" "$d" "$stop" >/dev/null 2>&1 </dev/null &
            fi
            n=0
            until [ -s "$d/pid" ]; do
                n=$((n + 1))
                [ "$n" -lt 100 ] || exit 1
                sleep 0.05
            done
            echo "$word"
            """#)

    /// `steady RUN DEADLINE EXPEDITES MOUNTPOINT…`: the last words before the freeze. The sync comes before the deadline is
    /// set and after RCU is expedited: whatever is dirtied after it is flushed inside the window (measured). Called off
    /// meanwhile, it leaves RCU as it was.
    static let steady = GuestScript(
        text: #"""
            d=/run/stillpoint/$1/deadman deadline=$2
            old=
            [ "$3" = 1 ] && read -r old <"$d/rcu" && echo 1 >/sys/kernel/rcu_expedited
            shift 3
            [ "$#" = 0 ] || sync -f "$@" 2>/dev/null
            if ! read -r pid <"$d/pid" || ! read -r _ _ state _ <"/proc/$pid/stat" || [ "$state" = Z ]; then
                [ -z "$old" ] || echo "$old" >/sys/kernel/rcu_expedited
                exit 1
            fi
            echo "$deadline" 1<>"$d/deadline"
            """#)

    /// The same behind hooks that wait for each other. What is dirty was written out before the first lock.
    static let steadyInTurn =
        #"""
        set -- "$STILLPOINT_RUN" "$STILLPOINT_PARAM_DEADLINE" "$STILLPOINT_PARAM_EXPEDITES"

        """# + steady.text

    /// The kernel's emergency thaw: all that is frozen, whoever froze it and wherever it is mounted (sysrq.rst; works although
    /// `kernel.sysrq` forbids it).
    static let thawAll = GuestScript(text: "echo j >/proc/sysrq-trigger")

    /// `disarm RUN`: calls the dead-man off, puts RCU back, and writes what the dead-man had thawed with, if anything.
    static let disarm = GuestScript(
        text: #"""
            d=/run/stillpoint/$1/deadman
            [ -d "$d" ] || exit 0
            echo >"$d/off"
            [ -f "$d/fired" ] && read -r word <"$d/fired" && echo "$word"
            # First gone, then put back: what may just be making RCU fast looks for it afterwards.
            [ -f "$d/pid" ] && read -r pid <"$d/pid" && rm -f "$d/pid" && kill -- "-$pid" 2>/dev/null
            [ -f "$d/rcu" ] && read -r old <"$d/rcu" && echo "$old" >/sys/kernel/rcu_expedited
            rm -rf "$d"
            """#)
}
