// SPDX-License-Identifier: Apache-2.0

import Quiesce

/// The constant text that runs a hook in the guest. It is an argument, which the agent writes to the guest's log; the hook
/// comes on stdin, and what varies as a few harmless words and the environment.
enum HookScript {
    /// `VERB SECONDS FILE CALL`: writes `FILE.out`, what the hook wrote to stdout and then a line with its exit code, and
    /// `FILE.err`, the last line of its stderr; prints both. Every fork counts, because this is hold time.
    ///
    /// Two seds read the hook's output up to our own last line, so that nobody waits for a child that keeps them open.
    /// Their limits, and not the hook's, are what keeps a hook that writes for ever from filling memory or /run.
    static let run = #"""
        s=$(cat) && exec </dev/null && cd / || exit 1
        umask 077
        d=/run/stillpoint/$STILLPOINT_RUN
        f=$d/$3
        [ -d "$d" ] || mkdir -p "$d" || exit 1
        [ "$1" = probe ] || : >"/run/stillpoint/active-$STILLPOINT_RUN" || exit 1
        end="stillpoint-end $STILLPOINT_RUN $4"
        hook() {
            if command -v timeout >/dev/null; then
                timeout -k 2 "$2" /bin/sh -c "$s" stillpoint "$1"
                return
            fi
            /bin/sh -c "$s" stillpoint "$1" &
            h=$!
            { sleep "$2"; kill "$h"; sleep 2; kill -9 "$h"; } >/dev/null 2>&1 &
            wait "$h"
            c=$?
            kill "$!" 2>/dev/null
            case $c in 137 | 143) return 124 ;; esac
            return "$c"
        }
        {
            {
                hook "$1" "$2" 3>&-
                c=$?
                trap '' PIPE
                printf '\n%s %s\n' "$end" "$c" 2>/dev/null
                printf '\n%s\n' "$end" >&2
            } 2>&1 >&3 3>&- | {
                ulimit -v 65536
                ulimit -f 16
                exec sed -n -e "/^$end\$/b end" -e '/./h' -e '1000!d' -e ':end' -e 'g;p;q' 3>&-
            } >"$f.err"
        } 3>&1 | {
            ulimit -v 65536
            ulimit -f 128
            exec sed "/^$end /q"
        } >"$f.out"
        IFS= read -r l <"$f.err"
        printf '%s\n' "$l" >&2
        [ "$1" = probe ] || exec cat "$f.out"
        cat "$f.out" && exec rm -rf "$d"
        """#

    /// `RUN FILE`: prints what ``run`` left, for an answer that got lost.
    static let collect = GuestScript(
        text: #"""
            f=/run/stillpoint/$1/$2
            [ -r "$f.out" ] && [ -r "$f.err" ] || exit 1
            IFS= read -r l <"$f.err"
            printf '%s\n' "$l" >&2
            exec cat "$f.out"
            """#)

    /// `RUN`: leaves nothing of a run.
    static let tidy = GuestScript(
        text: #"""
            rm -rf "/run/stillpoint/$1" "/run/stillpoint/active-$1"
            rmdir /run/stillpoint 2>/dev/null
            exit 0
            """#)
}
