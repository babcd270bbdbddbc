// SPDX-License-Identifier: Apache-2.0

import GuestAgent
import Quiesce

/// The constant texts that run hooks in the guest. A hook and the script that runs it are put into the run's folder there,
/// in memory, before anything is locked: what a call carries then is a few harmless words, which the agent writes to the
/// guest's log, and the environment, which it does not.
enum HookScript {
    /// `FOLDER NAME BYTES`: makes the file of its stdin, all of it or none.
    static let put =
        #"umask 077 && mkdir -p "$1" && cat >"$1/$2.$$" && [ "$(wc -c <"$1/$2.$$")" -eq "$3" ] && mv -f "$1/$2.$$" "$1/$2""#

    /// Whether nothing was begun because script or hook are not there. The other codes are those of shells that find no
    /// script; they mean other things too.
    static func isMissing(_ exit: ExecResult.Exit, _ said: String) -> Bool {
        switch exit {
        case .code(96): true
        case .code(2), .code(127): said.contains("No such file")
        default: false
        }
    }

    /// `VERB SECONDS HOOK FILE CALL [wait [NEXT]]`: runs `HOOK.text`. Writes `FILE.out`, what the hook wrote to stdout and then
    /// a line with its exit code, and `FILE.err`, the last line of its stderr; prints both.
    ///
    /// This is hold time, and a program started costs more than all the rest, so `read` and `printf` do the work. The two
    /// loops read up to our own last line, so that nobody waits for a child that keeps the output open, and stop reading
    /// where there is too much, which ends the hook. The mark is for drop-ins, which leave what it covers alone.
    ///
    /// With `wait` all of this is started beforehand, and the hook begins with a line `LEASE OUTCOME TURN` in `FILE.gate`. Where
    /// TURN is `next`, the line is passed on to `NEXT.gate` when the hook says so or has ended, from `pre-freeze` only if it
    /// holds its lock. From one that fails before that the last words hear that they are `off`. The end of the pipe without a
    /// line means that nobody will come: ``noWord``. A release is told before its lock has said all that it has to say, and
    /// waits for the end of that here, as long as the lease lasts.
    static let run = #"""
        umask 077
        cd / || exit 96
        d=/run/stillpoint/$STILLPOINT_RUN
        t=$d/$3.text
        [ -r "$t" ] || exit 96
        if [ "$1" != probe ]; then
            read -r now _ </proc/uptime
            echo "${now%%.*}" >"/run/stillpoint/active-$STILLPOINT_RUN"
        fi
        f=$d/$4
        # Who must have ended before this one begins, and who is told when it fails.
        before=
        case $4 in *.post-thaw) before=${f%post-thaw}pre-freeze ;; esac
        last=$d/Last.pre-freeze.gate
        [ ! -e "$f.word" ] || : >"$f.word"
        end="stillpoint-end $STILLPOINT_RUN $5"
        newline='
        '
        exec </dev/null 4>&1 5>&2
        # Of names of ours alone, so that it can stand in a text.
        turns='
            stand_by() {
                exec 3<'$f'.gate
                echo "$$" >'$f'.waits
                { read -r STILLPOINT_LEASE_S STILLPOINT_OUTCOME turn <&3 && [ "$turn" != off ]; } ||
                    { echo "no word came" >&2; exit 96; }
                exec 3<&-
                if [ -e '$before'.word ]; then
                    read -r turn_now _ </proc/uptime
                    turn_end=$((${turn_now%%.*} + STILLPOINT_LEASE_S))
                    until [ -e '$before'.out ] || [ "${turn_now%%.*}" -ge "$turn_end" ]; do
                        sleep 0.01
                        read -r turn_now _ </proc/uptime
                    done
                fi
                echo "$turn $STILLPOINT_LEASE_S $STILLPOINT_OUTCOME" >'$f'.word
                [ "$STILLPOINT_OUTCOME" != - ] || unset STILLPOINT_OUTCOME
                export STILLPOINT_LEASE_S ${STILLPOINT_OUTCOME+STILLPOINT_OUTCOME}
            }
            pass_on() {
                [ -s '$f'.word ] || return 0
                read -r turn orders <'$f'.word
                : >'$f'.word
                [ "$turn" != next ] || [ -z "'${7-}'" ] || echo "$orders next" 1<>'$d/${7-}'.gate
            }
            call_off() {
                { read -r turn _ <'$f'.word; } 2>/dev/null || return 0
                [ "$turn" != next ] || [ ! -p '$last' ] || echo "0 - off" 1<>'$last'
            }
            '
        eval "$turns"
        begin=". $t"
        if [ -n "${6-}" ]; then
            # What waits for us then is the guest's users: a busy guest is to run us first.
            renice -n -10 "$$" >/dev/null 2>&1
            # One that ends with the common functions' own word for it is read up to there before it waits.
            case $(cat "$t") in
                *stand_by*'dispatch "$@"') begin=$turns$begin ;;
                *) begin="${turns}stand_by$newline$begin" ;;
            esac
        fi
        hook() {
            if command -v timeout >/dev/null; then
                timeout -k 2 "$2" /bin/sh -c "$begin" stillpoint "$1"
                return
            fi
            group=
            ! command -v setsid >/dev/null || group=-
            ${group:+setsid} /bin/sh -c "$begin" stillpoint "$1" &
            h=$!
            { sleep "$2"; kill -- "$group$h"; sleep 2; kill -9 -- "$group$h"; } >/dev/null 2>&1 &
            wait "$h"
            c=$?
            kill "$!" 2>/dev/null
            return "$c"
        }
        {
            {
                hook "$1" "$2" 3>&- 4>&- 5>&-
                c=$?
                if [ "$1" != pre-freeze ] || [ "$c" = 0 ]; then pass_on; else call_off; fi
                trap '' PIPE
                printf '\n%s %s\n' "$end" "$c" 2>/dev/null
                printf '\n%s\n' "$end" >&2
            } 2>&1 >&3 3>&- | {
                exec 3>&-
                # shellcheck disable=SC3045 # not POSIX, but every sh of a Linux guest has it
                ulimit -v 65536
                last='' count=0
                while IFS= read -r line; do
                    case $line in "$end") break ;; ?*) last=$line ;; esac
                    count=$((count + 1))
                    [ "$count" -lt 1000 ] || break
                done
                printf '%.1000s\n' "$last" >"$f.err"
                printf '%.1000s\n' "$last" >&5
            }
        } 3>&1 | {
            # shellcheck disable=SC3045
            ulimit -v 65536
            all='' bytes=0 count=0
            while IFS= read -r line; do
                all=$all$line$newline
                bytes=$((bytes + ${#line} + 1))
                count=$((count + 1))
                if [ "$bytes" -gt 65536 ] || [ "$count" -gt 4096 ]; then all=; break; fi
                case $line in "$end "*) break ;; esac
            done
            printf %s "$all" >"$f.out"
            printf %s "$all" >&4
        }
        exit 0
        """#

    /// How a hook ends that waited for nothing.
    static let noWord = (code: 96, cause: "no word came")

    /// `RUN FILE…`: the gates of hooks that are to wait.
    static let gates = GuestScript(
        text: #"""
            umask 077
            mkdir -p "/run/stillpoint/$1" && cd "/run/stillpoint/$1" || exit 1
            shift
            for f; do rm -f "$f.gate" "$f.waits" && mkfifo "$f.gate" || exit 1; done
            """#)

    /// `RUN FILE…`: the names of those that wait by now, or in two seconds.
    static let waiting = GuestScript(
        text: #"""
            cd "/run/stillpoint/$1" || exit 1
            shift
            n=0
            for f; do
                until [ -s "$f.waits" ]; do
                    n=$((n + 1))
                    [ "$n" -lt 40 ] || break
                    sleep 0.05
                done
                [ ! -s "$f.waits" ] || echo "$f"
            done
            """#)

    /// `RUN FILE`: ends a hook that waited and then took too long, with its children.
    static let stop = GuestScript(
        text: #"""
            read -r pid <"/run/stillpoint/$1/$2.waits" && read -r _ _ _ _ group _ <"/proc/$pid/stat" || exit 0
            # Its own group where timeout or setsid gave it one, and not that of the agent.
            read -r _ _ _ _ ours _ </proc/$$/stat
            [ "$group" = "$ours" ] && victim=$pid || victim=-$group
            # To timeout of coreutils an alarm is the end of its time, which it knows how to tell.
            case $(readlink "/proc/$group/exe") in
                */timeout) kill -ALRM "$group" 2>/dev/null ;;
                *) kill -- "$victim" 2>/dev/null ;;
            esac
            sleep 3
            kill -KILL -- "$victim" 2>/dev/null
            exit 0
            """#)

    /// `RUN FILE`: prints what `run` left, for an answer that got lost.
    static let collect = GuestScript(
        text: #"""
            f=/run/stillpoint/$1/$2
            [ -r "$f.out" ] && [ -r "$f.err" ] || exit 1
            IFS= read -r l <"$f.err"
            printf '%s\n' "$l" >&2
            exec cat "$f.out"
            """#)

    /// `RUN [SECONDS]`: leaves nothing of a run, nobody who waits for a gate to open either; after so long.
    static let tidy = GuestScript(
        text: #"""
            leave_nothing() {
                for g in "/run/stillpoint/$1"/*.gate; do [ ! -p "$g" ] || : <>"$g"; done
                rm -rf "/run/stillpoint/$1" "/run/stillpoint/active-$1"
                rmdir /run/stillpoint 2>/dev/null
            }
            if [ -n "${2-}" ]; then
                # Its output is not what the agent waits for the end of.
                { sleep "$2"; leave_nothing "$1"; } >/dev/null 2>&1 &
            else
                leave_nothing "$1"
            fi
            exit 0
            """#)

    static func tidying(_ run: RunID, _ when: Tidying) -> [String] {
        switch when {
        case .now: [run.description]
        case .later: [run.description, "600"]
        }
    }
}
